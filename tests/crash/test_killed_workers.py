"""Workers killed at each failpoint: another one does the job, and the outcome is the same."""

from collections.abc import Iterator

import pytest

from tests.support.crash.deployment import new_deployment
from tests.support.crash.failpoint_scenarios import TRIGGERS, Case, names


@pytest.fixture(scope="module")
def case(postgres: str, template: str) -> Iterator[Case]:
    with new_deployment(postgres, template) as deployment:
        yield Case(deployment)


@pytest.mark.parametrize("failpoint", names("work"))
def test_a_worker_is_killed(case: Case, failpoint: str) -> None:
    case.kill_worker_at(failpoint, TRIGGERS[failpoint])


def test_after_that_everything_comes_to_its_end(case: Case) -> None:
    case.settle()
