"""A worker is killed while its codec computes: the job is delayed, and not lost."""

from collections.abc import Iterator

import psutil
import pytest
from media.v1 import job_pb2

from tests.crash.customer import RENDITION, Attempt, at_once, picture
from tests.crash.site import Site, new_site
from tests.tools import eventually

Job = job_pb2.Job
# Takes a core for some seconds.
SLOW = "resize:5000x5000:fit=FILL:enlarge=true,blur:20,convert:WEBP:effort=6"


@pytest.fixture
def site(postgres: str, template: str) -> Iterator[Site]:
    with new_site(postgres, template) as site:
        yield site


def test_a_job_whose_worker_is_killed_in_the_middle_is_done_once_more_and_ends_once(
    site: Site,
) -> None:
    server, worker = site.start("serve"), site.start("work")
    attempt = Attempt(picture(1000))
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
        assert len(customer.content(attempt.upload_id, RENDITION)) == done.rendition.size_bytes
        second.stop()
    server.stop()
