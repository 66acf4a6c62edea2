"""Servers killed at each failpoint, and started again: what was acknowledged is there, nothing is
half-visible, every upload comes to its end, rows and bytes agree.

Each server that is to be killed is first asked for what the one before it left. When all have been
killed, everything is brought to its end and judged as a whole.
"""

from collections.abc import Iterator

import pytest

from media_service.failpoints import REGISTRY
from tests.support.crash.deployment import new_deployment
from tests.support.crash.failpoint_scenarios import IN_ONE_REQUEST, TRIGGERS, Case, names


@pytest.fixture(scope="module")
def case(postgres: str, template: str) -> Iterator[Case]:
    with new_deployment(postgres, template) as deployment:
        yield Case(deployment)


def test_there_is_a_way_to_every_failpoint() -> None:
    assert set(TRIGGERS) == {failpoint.name for failpoint in REGISTRY}


def test_an_unknown_failpoint_stops_the_start(case: Case) -> None:
    server = case.deployment.start("serve", "nowhere")
    assert server.process.wait() == 2
    assert "MEDIA_FAILPOINT must be the name of a failpoint" in server.log.read_text()


@pytest.mark.parametrize("failpoint", names("serve", "local"))
def test_killed_on_a_disk(case: Case, failpoint: str) -> None:
    case.kill_server_at(failpoint)


@pytest.mark.parametrize(
    "failpoint",
    [
        "key.claim.after",
        "upload.count.after",
        "upload.verify.before",
        "key.settle.after",
        "upload.verify.after",
        "upload.finish.inside",
        "upload.finish.after",
    ],
)
def test_killed_while_a_file_comes_in_one_request(case: Case, failpoint: str) -> None:
    """Repeated under its key, it is stored once."""
    case.kill_server_at(failpoint, IN_ONE_REQUEST)


def test_on_a_disk_everything_comes_to_its_end(case: Case) -> None:
    case.settle()
