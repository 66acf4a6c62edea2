"""One owner keeps files coming that cost far more than their size suggests, while another owner
stores images."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle

from mediaservice.v1 import job_service_pb2

from tests.support.media.starving_files import StarvingFile
from tests.support.rpc.catalogue import Media, get
from tests.support.rpc.jobs import Job, reason
from tests.support.rpc.server import Caller

POLL_SECONDS = 0.05
# The most that an attempt may take: the longest limit of the files' classes of work, and the start
# of a process on a busy machine.
MOST_SECONDS = 150.0


async def seconds_until_ready(caller: Caller, image: bytes) -> float:
    """Stores an image, and returns the seconds from the end of the upload until it is READY."""
    stored = await caller.store_all(image)
    start = time.monotonic()
    while (await get(caller, stored.media_id)).state != Media.READY:
        await asyncio.sleep(POLL_SECONDS)
    return time.monotonic() - start


@dataclass
class Starving:
    """Keeps `at_once` files unfinished until cancelled, or until each file came `rounds` times.
    `broken` says which files ended in another way than they should."""

    caller: Caller
    files: Sequence[StarvingFile]
    at_once: int
    rounds: int = 0
    ended: int = 0
    broken: list[str] = field(default_factory=list)

    async def run(self) -> None:
        files = iter(list(self.files) * self.rounds) if self.rounds else cycle(self.files)

        async def keep_one_coming() -> None:
            for file in files:
                await self._store(file)
                self.ended += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(self.at_once):
                group.create_task(keep_one_coming())

    async def _store(self, file: StarvingFile) -> None:
        """Stores a file, waits until its jobs have ended, and checks how."""
        media_id = (await self.caller.store_all(file.data)).media_id
        while True:
            jobs = await self._jobs(media_id)
            media = await get(self.caller, media_id)
            inspected = media.state in {Media.READY, Media.FAILED}
            if inspected and all(job.HasField("end_time") for job in jobs):
                break
            await asyncio.sleep(0.5)
        expected = {Job.INGEST: file.media, Job.PROCESS: file.preset}
        for job in jobs:
            found = reason(job) if job.HasField("error") else ""
            seconds = (job.end_time.ToNanoseconds() - job.start_time.ToNanoseconds()) / 1e9
            if found != expected[job.type] or seconds > MOST_SECONDS:
                kind = Job.Type.Name(job.type)
                self.broken.append(f"{file.name}: {kind} ended after {seconds:.0f} s: {found}")

    async def _jobs(self, media_id: str) -> list[Job]:
        request = job_service_pb2.ListJobsRequest(media_id=media_id, page_size=100)
        return list((await self.caller.call(self.caller.jobs.ListJobs, request)).jobs)
