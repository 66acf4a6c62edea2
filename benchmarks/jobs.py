"""Latency of jobs: from the end of an upload to the start of its job, and from a job's change to
the message of a watch."""

import asyncio
import contextlib
import io
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import psycopg
from mediaservice.v1 import (
    job_service_pb2,
    job_service_pb2_grpc,
    upload_pb2,
    upload_service_pb2,
    upload_service_pb2_grpc,
)
from PIL import Image

from benchmarks.measure import Bench, say
from benchmarks.report import Outcome, Row
from benchmarks.transfer import channel, client
from media_service.db.database import Database
from media_service.db.notifications import JobChanged
from media_service.ids import new_id

UPLOADS = 100
WATCHERS = 1000
CHANNELS = 4
# Average seconds between two changes, in addition to the time they take.
PAUSE_SECONDS = 0.004
LIMIT_MS = {"start": 30.0, "watch": 50.0}


@contextmanager
def worker(bench: Bench) -> Iterator[None]:
    """Runs a worker for the duration of the context. The stack has none."""
    with bench.stack.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "media_service", "work"],
            env={**os.environ, **bench.stack.settings},
            stdout=log,
            stderr=log,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait()


async def starts(bench: Bench) -> list[float]:
    """Milliseconds from the transaction that finished an upload, including its commit, to the one
    in which a worker claims its job. Uploads run one after another, at random times."""
    ids = []
    async with await psycopg.AsyncConnection.connect(
        bench.stack.database_url, autocommit=True
    ) as db:
        with worker(bench):
            async with client(bench.stack) as to:
                stub: Any = upload_service_pb2_grpc.UploadServiceStub(to.service)
                data = jpeg()
                for _ in range(UPLOADS + 1):
                    message = upload_service_pb2.WriteUploadRequest(
                        spec=upload_pb2.UploadSpec(filename="a.jpg"),
                        data=data,
                        finish=True,
                    )
                    upload = await stub.WriteUpload(iter([message]), metadata=to.metadata)
                    assert upload.state == upload_pb2.Upload.FINISHED
                    ids.append(upload.media_id)
                    await ended(db, upload.media_id)
                    await asyncio.sleep(random.uniform(0, 0.02))
        rows = await db.execute(
            "select extract(epoch from start_time - create_time)::float8 from jobs"
            " where subject_id = any(%s::uuid[])",
            (ids[1:],),  # the first job waited for the worker to start
        )
        return [row[0] * 1e3 for row in await rows.fetchall()]


async def ended(db: psycopg.AsyncConnection, media_id: str) -> None:
    query = "select from jobs where subject_id = %s and end_time is not null"
    while await (await db.execute(query, (media_id,))).fetchone() is None:
        await asyncio.sleep(0.02)


def jpeg() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), "teal").save(out, "JPEG")
    return out.getvalue()


class Crowd:
    """Watchers of jobs. The stage in each message is the time of the job's change."""

    def __init__(self) -> None:
        self.watching = 0
        self.seconds: list[float] = []

    async def watch(self, stub: Any, job_id: str, metadata: Any) -> None:
        request = job_service_pb2.WatchJobRequest(job_id=job_id)
        last = ""
        async for job in stub.WatchJob(request, metadata=metadata):
            if not job.stage:
                self.watching += 1
            elif job.stage != last:
                last = job.stage
                self.seconds.append(time.time() - float(last))


@asynccontextmanager
async def crowd(bench: Bench, job_ids: Sequence[str]) -> AsyncIterator[Crowd]:
    """Starts a watcher of each job, and yields once all of them watch."""
    watchers = Crowd()
    metadata = (("authorization", f"Bearer {bench.stack.token}"),)
    async with AsyncExitStack() as stack:
        stubs: list[Any] = [
            job_service_pb2_grpc.JobServiceStub(
                await stack.enter_async_context(channel(bench.stack.grpc))
            )
            for _ in range(CHANNELS)
        ]
        tasks = [
            asyncio.create_task(watchers.watch(stubs[number % CHANNELS], job_id, metadata))
            for number, job_id in enumerate(job_ids)
        ]
        while watchers.watching < len(job_ids):
            await asyncio.sleep(0.05)
        yield watchers
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def watched(bench: Bench) -> tuple[list[float], list[float]]:
    """Milliseconds from a change in the database to the message at the client, for changes spread
    over time and for changes of all jobs at once."""
    url = bench.stack.database_url
    async with Database(url, 8) as database:
        job_ids = [new_id() for _ in range(WATCHERS)]
        async with database.connection() as db:
            await db.execute(
                "insert into jobs (job_id, kind, subject_id, state, org_id, owner_type, owner_id,"
                " lease_until) select job_id, 'PROCESS', gen_random_uuid(), 'RUNNING', '', 'user',"
                " 'bench', now() + interval '1 hour' from unnest(%s::uuid[]) as job (job_id)",
                (job_ids,),
            )

        async def change(some: Sequence[str]) -> None:
            async with database.connection() as db:
                await db.execute(
                    "update jobs set stage = %s where job_id = any(%s::uuid[])",
                    (repr(time.time()), list(some)),
                )
                for job_id in some:
                    db.notify(JobChanged(job_id))

        async with crowd(bench, job_ids) as watchers:
            say(f"  {WATCHERS} watch")
            end = time.perf_counter() + bench.seconds
            while time.perf_counter() < end:
                await change([random.choice(job_ids)])
                await asyncio.sleep(random.uniform(0, 2 * PAUSE_SECONDS))
            await asyncio.sleep(1)
            spread, watchers.seconds = watchers.seconds, []
            for _ in range(bench.rounds):
                await change(job_ids)
                await asyncio.sleep(2)
            burst = watchers.seconds
        async with database.connection() as db:
            await db.execute("delete from jobs where job_id = any(%s::uuid[])", (job_ids,))
    return [s * 1e3 for s in spread], [s * 1e3 for s in burst]


def percentiles(milliseconds: Sequence[float]) -> str:
    cuts = statistics.quantiles(milliseconds, n=100)
    return f"p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms of {len(milliseconds)}"


def row(figure: str, milliseconds: Sequence[float], limit: float) -> Row:
    return Row(
        figure=figure,
        unit="ms",
        target=1.0,
        at_most=True,
        measured=statistics.median(milliseconds),
        limit=limit,
        limit_name="as asked for",
    )


async def jobs(bench: Bench) -> Outcome:
    delays = await starts(bench)
    say(f"  upload to start: {percentiles(delays)}")
    spread, burst = await watched(bench)
    say(f"  change to message: {percentiles(spread)}; all at once: {percentiles(burst)}")
    with contextlib.suppress(FileNotFoundError):
        bench.stack.discard()
    who = f"{WATCHERS} watchers of {WATCHERS} jobs"
    return Outcome(
        [
            row("upload finished → worker started, p50", delays, LIMIT_MS["start"]),
            row(f"job changed → message, {who}, p50", spread, LIMIT_MS["watch"]),
        ],
        [],
        [
            f"upload finished → worker started: {percentiles(delays)}; this includes the commit"
            " that finishes the upload.",
            f"{who}, changes at random, {len(spread) / bench.seconds:.0f} a second:"
            f" {percentiles(spread)}; all {WATCHERS} jobs changed by one statement, so that every"
            f" watcher gets a message: {percentiles(burst)}.",
        ],
    )
