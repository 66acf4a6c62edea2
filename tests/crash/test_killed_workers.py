"""Workers are killed at each failpoint. Another worker does the job with the same outcome."""

import hashlib
from collections.abc import Iterator
from itertools import chain

import pytest
from mediaservice.v1 import media_pb2

from tests.support.crash.client import Attempt, image, in_a_session
from tests.support.crash.deployment import new_deployment
from tests.support.crash.failpoint_scenarios import IN_SEQUENCE, Case, names
from tests.support.tools import eventually


@pytest.fixture(scope="module")
def case(postgres: str, template: str) -> Iterator[Case]:
    with new_deployment(postgres, template) as deployment:
        yield Case(deployment)


def test_the_sequences_have_every_failpoint_of_a_worker() -> None:
    assert sorted(chain.from_iterable(IN_SEQUENCE)) == sorted(names("work"))


@pytest.mark.parametrize("failpoints", IN_SEQUENCE, ids=lambda names: names[0])
def test_workers_killed_one_after_the_other(case: Case, failpoints: tuple[str, ...]) -> None:
    case.kill_workers_at(*failpoints)


@pytest.mark.soak
@pytest.mark.parametrize("failpoint", names("work"))
def test_worker_killed_at_each_failpoint(case: Case, failpoint: str) -> None:
    case.kill_workers_at(failpoint)


def test_all_uploads_and_jobs_complete_afterwards(case: Case) -> None:
    case.settle()


def test_a_blocked_file_is_refused_although_a_worker_died_after_it_recorded_the_hash(
    case: Case,
) -> None:
    deployment = case.deployment
    attempt = Attempt(image(1000))
    with deployment.client(case.server) as client:
        in_a_session(client, attempt)
        deployment.db.execute(
            "insert into blocked_files (sha256, scope, note) values (%s, 'service:', '')",
            (hashlib.sha256(attempt.data).digest(),),
        )
        deployment.start("work", "ingest.hash.after").await_death()

        def media() -> media_pb2.Media:
            found = client.media(attempt)
            assert found is not None
            return found

        assert media().state == media_pb2.Media.PROCESSING
        assert media().checksums.sha256
        deployment.pass_time("31 seconds")
        worker = deployment.start("work")
        eventually(lambda: media().state in {media_pb2.Media.READY, media_pb2.Media.FAILED})
        assert "FILE_BLOCKED" in str(media().error)
        assert media().HasField("delete_time")
        worker.stop()
