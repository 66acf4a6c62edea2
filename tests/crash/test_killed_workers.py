"""Workers killed at each failpoint: another one does the job, and the outcome is the same."""

from collections.abc import Iterator

import pytest

from tests.support.crash.deployment import new_site
from tests.support.crash.failpoint_scenarios import WAYS, Case, names


@pytest.fixture(scope="module")
def case(postgres: str, template: str) -> Iterator[Case]:
    with new_site(postgres, template) as site:
        yield Case(site)


@pytest.mark.parametrize("failpoint", names("work"))
def test_a_worker_is_killed(case: Case, failpoint: str) -> None:
    case.kill_worker_at(failpoint, WAYS[failpoint])


def test_after_that_everything_comes_to_its_end(case: Case) -> None:
    case.settle()
