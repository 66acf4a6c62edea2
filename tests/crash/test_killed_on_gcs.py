"""Processes are killed while they write to a Cloud Storage bucket."""

from collections.abc import Iterator

import pytest

from tests.support.crash.deployment import new_deployment, on_gcs_at
from tests.support.crash.failpoint_scenarios import COPYING, MOVING, SHOWN, Case, names
from tests.support.stores.gcs_server import gcs_server


@pytest.fixture(scope="module")
def case(postgres: str, template: str) -> Iterator[Case]:
    with (
        gcs_server() as endpoint,
        new_deployment(postgres, template, **on_gcs_at(endpoint)) as deployment,
    ):
        # The first server writes the marker of the store, which would reach failpoints of uploads.
        deployment.start("serve").stop()
        yield Case(deployment)


@pytest.mark.parametrize("failpoint", [n for n in names("serve", "gcs") if n.startswith("gcs")])
def test_server_killed_on_gcs(case: Case, failpoint: str) -> None:
    case.kill_server_at(failpoint)


def test_workers_killed_while_renditions_move(case: Case) -> None:
    case.kill_workers_at(*COPYING, trigger=SHOWN)


@pytest.mark.soak
def test_workers_killed_at_every_step_of_a_move(case: Case) -> None:
    case.kill_workers_at(*MOVING, trigger=SHOWN)


def test_all_uploads_and_jobs_complete_on_gcs(case: Case) -> None:
    case.settle()
