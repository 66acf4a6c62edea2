"""Killed where an object store is written to: a bucket of Cloud Storage."""

from collections.abc import Iterator

import pytest

from tests.support.crash.deployment import new_deployment, on_gcs_at
from tests.support.crash.failpoint_scenarios import MOVING, SHOWN, Case, names
from tests.support.stores.gcs_server import gcs_server


@pytest.fixture(scope="module")
def case(postgres: str, template: str) -> Iterator[Case]:
    with (
        gcs_server() as endpoint,
        new_deployment(postgres, template, **on_gcs_at(endpoint)) as deployment,
    ):
        yield Case(deployment)


@pytest.mark.parametrize("failpoint", [n for n in names("serve", "gcs") if n.startswith("gcs")])
def test_killed_on_gcs(case: Case, failpoint: str) -> None:
    case.kill_server_at(failpoint)


@pytest.mark.parametrize("failpoint", MOVING)
def test_a_worker_is_killed_while_renditions_become_public(case: Case, failpoint: str) -> None:
    case.kill_worker_at(failpoint, SHOWN)


def test_on_gcs_everything_comes_to_its_end(case: Case) -> None:
    case.settle()
