"""Servers are killed at each failpoint and restarted. Acknowledged bytes are kept, nothing is
half-visible, every upload can be completed, and rows and bytes agree.

Each server first has to serve what its predecessor left behind. At the end, all uploads and jobs
are completed and the whole state is checked.
"""

from collections.abc import Iterator

import psycopg
import pytest
from mediaservice.v1 import upload_pb2

from media_service.failpoints import REGISTRY
from tests.support.crash.client import MIB, Attempt, Killed, image
from tests.support.crash.deployment import Deployment, new_deployment
from tests.support.crash.failpoint_scenarios import IN_ONE_REQUEST, TRIGGERS, Case, names
from tests.support.tools import eventually


@pytest.fixture(scope="module")
def case(postgres: str, template: str) -> Iterator[Case]:
    with new_deployment(postgres, template) as deployment:
        # The first server writes the marker of the store, which would reach failpoints of uploads.
        deployment.start("serve").stop()
        yield Case(deployment)


def test_every_failpoint_has_a_trigger() -> None:
    # test_killed_erasures.py and test_killed_batches.py stop at the others.
    others = ("erase.", "batch.")
    assert set(TRIGGERS) == {each.name for each in REGISTRY if not each.name.startswith(others)}


def test_a_server_with_an_unknown_failpoint_does_not_start(case: Case) -> None:
    server = case.deployment.start("serve", "nowhere")
    assert server.process.wait() == 2
    assert "MEDIA_FAILPOINT must be the name of a failpoint" in server.log.read_text()


@pytest.mark.parametrize("failpoint", names("serve", "local"))
def test_server_killed_on_a_local_store(case: Case, failpoint: str) -> None:
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
def test_server_killed_during_an_upload_in_one_request(case: Case, failpoint: str) -> None:
    """The client repeats the request with its idempotency key. The file is stored once."""
    case.kill_server_at(failpoint, IN_ONE_REQUEST)


def finish_job(deployment: Deployment) -> tuple[str, bool]:
    """The state of the job that completes an upload, and whether a worker may claim it now."""
    with psycopg.connect(deployment.database_url) as db:
        row = db.execute("select state, ready from jobs where kind = 'FINISH'").fetchone()
    assert row
    return row[0], row[1]


def test_completing_an_upload_again_does_not_wait_for_a_dead_server(
    postgres: str, template: str
) -> None:
    attempt = Attempt(image(MIB))
    with new_deployment(postgres, template) as deployment:
        dying = deployment.start("serve", "upload.verify.after")
        with deployment.client(dying) as client:
            client.create(attempt)
            with pytest.raises(Killed):
                client.write(attempt, 0, len(attempt.data))
        dying.await_death()
        assert finish_job(deployment) == ("QUEUED", False)
        with deployment.client(deployment.start("serve")) as client:
            with psycopg.connect(deployment.database_url) as living:
                # As if the server that died were alive.
                living.execute("select pg_advisory_lock(verifier) from uploads")
                client.complete(attempt)
                assert finish_job(deployment) == ("QUEUED", False)
                living.execute("select pg_advisory_unlock(verifier) from uploads")
            client.complete(attempt)
            assert finish_job(deployment) == ("QUEUED", True)
            deployment.start("work")
            state = upload_pb2.Upload.FINISHED
            eventually(lambda: (found := client.upload(attempt)) and found.state == state)


def test_all_uploads_and_jobs_complete_on_a_local_store(case: Case) -> None:
    case.settle()
