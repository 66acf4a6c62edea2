"""A worker is killed during encoding. Its job is delayed, but not lost."""

from collections.abc import Iterator

import psutil
import pytest
from mediaservice.v1 import job_pb2

from tests.support.crash.client import (
    RENDITION,
    SLOWLY,
    Attempt,
    CrashClient,
    at_once,
    image,
    video,
)
from tests.support.crash.deployment import Deployment, Running, new_deployment
from tests.support.crash.invariants import check_stream, rows
from tests.support.tools import encoders, eventually

Job = job_pb2.Job
# Keeps one core busy for some seconds.
SLOW = "resize:5000x5000:fit=FILL:enlarge=true,blur:20,convert:WEBP:effort=6"


@pytest.fixture
def deployment(postgres: str, template: str) -> Iterator[Deployment]:
    with new_deployment(postgres, template, MEDIA_WORKER_SLOTS="1") as deployment:
        yield deployment


def test_a_job_whose_worker_is_killed_is_retried_and_succeeds_once(
    deployment: Deployment,
) -> None:
    server, worker = deployment.start("serve"), deployment.start("work")
    attempt = Attempt(image(1000))
    with deployment.client(server) as client:
        at_once(client, attempt)
        job_id = client.order(attempt, SLOW).job_id

        def job() -> Job:
            found = client.job(job_id)
            assert found is not None
            return found

        assert eventually(lambda: job().stage == "render")
        children = psutil.Process(worker.process.pid).children(recursive=True)
        worker.kill()
        assert children
        eventually(lambda: not any(child.is_running() for child in children))
        assert (job().state, job().attempt) == (Job.RUNNING, 1), "until its lease ends"
        deployment.pass_time("31 seconds")
        second = deployment.start("work")
        eventually(lambda: job().state == Job.SUCCEEDED, 60)
        done = job()
        assert (done.attempt, done.progress_percent) == (2, 100)
        assert len(client.content(attempt.media_id, RENDITION)) == done.rendition.size_bytes
        second.stop()
    server.stop()


PARTS = "select subjob_number, state, attempt from jobs where parent_id is not null"
KEPT = "select number, blob_id::text as blob_id from stream_segments"


def parts(deployment: Deployment, state: str) -> dict[int, int]:
    """The attempt of each part in this state, by part number."""
    return {
        row["subjob_number"]: row["attempt"]
        for row in rows(deployment, PARTS)
        if row["state"] == state
    }


def kept(deployment: Deployment) -> dict[int, str]:
    """The blob of each segment, by segment number."""
    return {row["number"]: row["blob_id"] for row in rows(deployment, KEPT)}


def kill_encoding(deployment: Deployment, worker: Running) -> None:
    """Kills the worker while it encodes one part, after it has finished others."""
    process = psutil.Process(worker.process.pid)

    def caught() -> list[psutil.Process]:
        if len(parts(deployment, "SUCCEEDED")) < 2 or not encoders(worker.process.pid):
            return []
        process.suspend()
        if found := encoders(worker.process.pid):
            return found
        process.resume()
        return []

    running = eventually(caught, 60)
    worker.kill()
    _, alive = psutil.wait_procs(running, 10)
    assert alive == []


@pytest.fixture
def streamed(deployment: Deployment) -> Iterator[tuple[CrashClient, Attempt]]:
    """A client that requested a stream, which is encoded in seven parts."""
    server = deployment.start("serve")
    attempt = Attempt(video())
    with deployment.client(server) as client:
        at_once(client, attempt)
        client.order(attempt, SLOWLY)
        yield client, attempt
    server.stop()


def job_of(client: CrashClient, attempt: Attempt) -> Job:
    found = client.job(attempt.job_id)
    assert found is not None
    return found


def test_killing_the_leader_of_a_stream_repeats_only_unfinished_parts(
    deployment: Deployment, streamed: tuple[CrashClient, Attempt]
) -> None:
    client, attempt = streamed
    kill_encoding(deployment, deployment.start("work"))
    before, segments = parts(deployment, "SUCCEEDED"), kept(deployment)
    assert set(before.values()) == {1}
    assert parts(deployment, "RUNNING")
    deployment.pass_time("31 seconds")
    # This worker encodes the remaining parts and dies before it publishes them.
    deployment.start("work", "stream.publish.before").await_death()
    after = parts(deployment, "SUCCEEDED")
    assert len(after) == 7
    assert after.items() >= before.items(), "finished parts must not be encoded again"
    assert kept(deployment).items() >= segments.items()
    deployment.pass_time("31 seconds")
    third = deployment.start("work")
    eventually(lambda: job_of(client, attempt).state == Job.SUCCEEDED, 60)
    assert job_of(client, attempt).attempt == 3
    assert kept(deployment).items() >= segments.items()
    check_stream(client, attempt)
    third.stop()


def test_killing_a_helper_of_a_stream_repeats_only_its_part(
    deployment: Deployment, streamed: tuple[CrashClient, Attempt]
) -> None:
    client, attempt = streamed
    leader = deployment.start("work")
    eventually(lambda: parts(deployment, "RUNNING"))
    leading = psutil.Process(leader.process.pid)
    leading.suspend()
    deployment.keep_leases()
    kill_encoding(deployment, deployment.start("work"))
    leading.resume()

    def alone() -> bool:
        return len(parts(deployment, "SUCCEEDED")) == 6 and len(parts(deployment, "RUNNING")) == 1

    eventually(alone, 60)
    before, segments = parts(deployment, "SUCCEEDED"), kept(deployment)
    assert set(before.values()) == {1}
    (lost,) = parts(deployment, "RUNNING")
    deployment.end_lease(attempt.job_id, lost)
    eventually(lambda: job_of(client, attempt).state == Job.SUCCEEDED, 60)
    assert job_of(client, attempt).attempt == 1
    assert kept(deployment).items() >= segments.items()
    check_stream(client, attempt)
    leader.stop()


def test_two_workers_share_the_chunks_of_a_video(
    deployment: Deployment, streamed: tuple[CrashClient, Attempt]
) -> None:
    client, attempt = streamed
    workers = [deployment.launch("work"), deployment.launch("work")]
    busy: set[int] = set()

    def done() -> bool:
        busy.update(place for place, worker in enumerate(workers) if encoders(worker.process.pid))
        return job_of(client, attempt).state == Job.SUCCEEDED

    eventually(done, 60)
    assert busy == {0, 1}
    assert job_of(client, attempt).attempt == 1
    check_stream(client, attempt)
    for worker in workers:
        worker.stop()
