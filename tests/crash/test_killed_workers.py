"""Workers are killed at each failpoint. Another worker does the job with the same outcome."""

from collections.abc import Iterator

import pytest

from tests.support.crash.deployment import new_deployment
from tests.support.crash.failpoint_scenarios import TRIGGERS, Case, names


@pytest.fixture(scope="module")
def case(postgres: str, template: str) -> Iterator[Case]:
    with new_deployment(postgres, template) as deployment:
        yield Case(deployment)


@pytest.mark.parametrize("failpoint", names("work"))
def test_worker_killed_at_each_failpoint(case: Case, failpoint: str) -> None:
    case.kill_worker_at(failpoint, TRIGGERS[failpoint])


def test_all_uploads_and_jobs_complete_afterwards(case: Case) -> None:
    case.settle()
