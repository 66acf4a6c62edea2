"""A worker is killed while its codec computes: the job is delayed, and not lost."""

from collections.abc import Iterator

import psutil
import pytest
from mediaservice.v1 import job_pb2

from tests.support.crash.client import RENDITION, SLOWLY, Attempt, Customer, at_once, image, video
from tests.support.crash.deployment import Running, Site, new_site
from tests.support.crash.invariants import look_at_stream, rows
from tests.support.tools import encoders, eventually

Job = job_pb2.Job
# Takes a core for some seconds.
SLOW = "resize:5000x5000:fit=FILL:enlarge=true,blur:20,convert:WEBP:effort=6"


@pytest.fixture
def site(postgres: str, template: str) -> Iterator[Site]:
    with new_site(postgres, template, MEDIA_WORKER_SLOTS="1") as site:
        yield site


def test_a_job_whose_worker_is_killed_in_the_middle_is_done_once_more_and_ends_once(
    site: Site,
) -> None:
    server, worker = site.start("serve"), site.start("work")
    attempt = Attempt(image(1000))
    with site.customer(server) as customer:
        at_once(customer, attempt)
        job_id = customer.order(attempt, SLOW).job_id

        def job() -> Job:
            found = customer.job(job_id)
            assert found is not None
            return found

        assert eventually(lambda: job().stage == "render")
        children = psutil.Process(worker.process.pid).children(recursive=True)
        worker.kill()
        assert children
        eventually(lambda: not any(child.is_running() for child in children))
        assert (job().state, job().attempt) == (Job.RUNNING, 1), "until its lease ends"
        site.pass_time("31 seconds")
        second = site.start("work")
        eventually(lambda: job().state == Job.SUCCEEDED, 60)
        done = job()
        assert (done.attempt, done.progress_percent) == (2, 100)
        assert len(customer.content(attempt.media_id, RENDITION)) == done.rendition.size_bytes
        second.stop()
    server.stop()


PARTS = "select subjob_number, state, attempt from jobs where parent_id is not null"
KEPT = "select number, blob_id::text as blob_id from stream_segments"


def parts(site: Site, state: str) -> dict[int, int]:
    """The attempt of each part in this state, by its number."""
    return {
        row["subjob_number"]: row["attempt"] for row in rows(site, PARTS) if row["state"] == state
    }


def kept(site: Site) -> dict[int, str]:
    """The blob of each segment, by its number."""
    return {row["number"]: row["blob_id"] for row in rows(site, KEPT)}


def kill_encoding(site: Site, worker: Running) -> None:
    """Kills it while it encodes one part, after others are done."""
    process = psutil.Process(worker.process.pid)

    def caught() -> list[psutil.Process]:
        if len(parts(site, "SUCCEEDED")) < 2 or not encoders(worker.process.pid):
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
def streamed(site: Site) -> Iterator[tuple[Customer, Attempt]]:
    """A customer who wants a video to be streamed, in seven parts."""
    server = site.start("serve")
    attempt = Attempt(video())
    with site.customer(server) as customer:
        at_once(customer, attempt)
        customer.order(attempt, SLOWLY)
        yield customer, attempt
    server.stop()


def job_of(customer: Customer, attempt: Attempt) -> Job:
    found = customer.job(attempt.job_id)
    assert found is not None
    return found


def test_a_worker_that_is_killed_while_it_leads_a_stream_costs_what_it_was_at(
    site: Site, streamed: tuple[Customer, Attempt]
) -> None:
    customer, attempt = streamed
    kill_encoding(site, site.start("work"))
    before, segments = parts(site, "SUCCEEDED"), kept(site)
    assert set(before.values()) == {1}
    assert parts(site, "RUNNING")
    site.pass_time("31 seconds")
    # One that comes to the end, and no further.
    site.start("work", "stream.publish.before").await_death()
    after = parts(site, "SUCCEEDED")
    assert len(after) == 7
    assert after.items() >= before.items(), "what was done is not done again"
    assert kept(site).items() >= segments.items()
    site.pass_time("31 seconds")
    third = site.start("work")
    eventually(lambda: job_of(customer, attempt).state == Job.SUCCEEDED, 60)
    assert job_of(customer, attempt).attempt == 3
    assert kept(site).items() >= segments.items()
    look_at_stream(customer, attempt)
    third.stop()


def test_a_worker_that_is_killed_while_it_helps_with_a_stream_costs_its_part(
    site: Site, streamed: tuple[Customer, Attempt]
) -> None:
    customer, attempt = streamed
    leader = site.start("work")
    eventually(lambda: parts(site, "RUNNING"))
    leading = psutil.Process(leader.process.pid)
    leading.suspend()
    site.keep_leases()
    kill_encoding(site, site.start("work"))
    leading.resume()

    def alone() -> bool:
        return len(parts(site, "SUCCEEDED")) == 6 and len(parts(site, "RUNNING")) == 1

    eventually(alone, 60)
    before, segments = parts(site, "SUCCEEDED"), kept(site)
    assert set(before.values()) == {1}
    (lost,) = parts(site, "RUNNING")
    site.end_lease(attempt.job_id, lost)
    eventually(lambda: job_of(customer, attempt).state == Job.SUCCEEDED, 60)
    assert job_of(customer, attempt).attempt == 1
    assert kept(site).items() >= segments.items()
    look_at_stream(customer, attempt)
    leader.stop()


def test_two_workers_share_the_chunks_of_a_video(
    site: Site, streamed: tuple[Customer, Attempt]
) -> None:
    customer, attempt = streamed
    workers = [site.launch("work"), site.launch("work")]
    busy: set[int] = set()

    def done() -> bool:
        busy.update(place for place, worker in enumerate(workers) if encoders(worker.process.pid))
        return job_of(customer, attempt).state == Job.SUCCEEDED

    eventually(done, 60)
    assert busy == {0, 1}
    assert job_of(customer, attempt).attempt == 1
    look_at_stream(customer, attempt)
    for worker in workers:
        worker.stop()
