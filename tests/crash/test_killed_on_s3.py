"""Processes are killed while they write to an S3 bucket."""

from collections.abc import Iterator

import pytest

from tests.support.crash.deployment import new_deployment, on_s3_at
from tests.support.crash.failpoint_scenarios import ALSO_ON_S3, COPYING, MOVING, SHOWN, Case, names
from tests.support.stores.s3_server import s3_server


@pytest.fixture(scope="module")
def case(postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    with (
        s3_server(tmp_path_factory.mktemp("s3")) as endpoint,
        new_deployment(postgres, template, **on_s3_at(endpoint)) as deployment,
    ):
        # The first server writes the marker of the store, which would reach failpoints of uploads.
        deployment.start("serve").stop()
        yield Case(deployment)


@pytest.mark.parametrize(
    "failpoint", [*ALSO_ON_S3, *(n for n in names("serve", "s3") if n.startswith("s3"))]
)
def test_server_killed_on_s3(case: Case, failpoint: str) -> None:
    case.kill_server_at(failpoint)


def test_workers_killed_while_renditions_move(case: Case) -> None:
    case.kill_workers_at(*COPYING, trigger=SHOWN)


@pytest.mark.soak
def test_workers_killed_at_every_step_of_a_move(case: Case) -> None:
    case.kill_workers_at(*MOVING, trigger=SHOWN)


def test_all_uploads_and_jobs_complete_on_s3(case: Case) -> None:
    case.settle()
