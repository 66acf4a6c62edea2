"""Workers are killed while they scan files for viruses."""

from collections.abc import Iterator

import pytest

from tests.support.clamd import Clamd
from tests.support.crash.deployment import new_deployment
from tests.support.crash.failpoint_scenarios import SCANNING, Case, names


@pytest.fixture(scope="module")
def case(postgres: str, template: str, clamd: Clamd) -> Iterator[Case]:
    settings = {"MEDIA_SCAN": "report", "MEDIA_SCAN_ADDRESS": clamd.unix}
    with new_deployment(postgres, template, **settings) as deployment:
        yield Case(deployment)


def test_workers_killed_while_they_scan(case: Case) -> None:
    assert set(SCANNING) == set(names("work", "scan")) - set(names("work"))
    case.kill_workers_at(*SCANNING)


def test_all_files_are_scanned_afterwards(case: Case) -> None:
    case.settle()
    states = case.deployment.scan_states()
    assert states == ["CLEAN"] * len(case.attempts)
