"""Streams whose worker, owner, or media disappears at an inconvenient moment."""

import asyncio
import re
import struct
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from mediaservice.v1 import job_pb2, media_service_pb2

from media_service import app
from media_service.blobs import queries as blob_queries
from media_service.blobs.model import Blob
from media_service.codecs.sandbox.forks import ForkServer
from media_service.codecs.video.fmp4 import Fragment, InitSegment
from media_service.config import load
from media_service.db.database import Database
from media_service.errors import Fault, NotFound, Reason
from media_service.ids import new_id
from media_service.jobs.attempt import MAX_LOST_LEASES
from media_service.jobs.handler import GaveWay, JobHandler, find_handlers
from media_service.jobs.model import Claim, JobKind, JobState, Subjob
from media_service.jobs.progress import Progress
from media_service.jobs.queries import changing, claimed_jobs, claiming, subjobs
from media_service.renditions.delete import remove_media
from media_service.renditions.streams import queries
from media_service.renditions.streams.cleanup import remove_abandoned
from media_service.renditions.streams.model import NewSegment, Stream
from media_service.renditions.streams.segments import Segments
from media_service.storage.checksums import Checksums
from tests.support.batches import changed_by
from tests.support.crash.invariants import INVARIANTS
from tests.support.job_claims import claim as claim_next
from tests.support.media.numbered_frames import counted, made
from tests.support.rpc.jobs import cancel, ended, execute, process, reason, retry
from tests.support.rpc.playlists import playlists, text
from tests.support.rpc.server import Caller, Running, Start
from tests.support.tools import encoders, eventually_async

Job = job_pb2.Job
OPS = "stream:min_height=144"
LEASE = timedelta(minutes=1)
FAULT = Fault(Reason.INTERNAL, "it broke")
# As if their worker had died.
DEAD = "lease_until = now() - interval '1 second'"
LONG_DEAD = "lease_until = now() - interval '1 hour'"
# Failed temporarily, and due for a retry.
DUE = "state = 'QUEUED', ready = false, run_time = now(), lease_until = null"


@dataclass(frozen=True)
class Hands:
    """The job handlers of a worker, driven step by step by a test."""

    database: Database
    segments: Segments
    process: JobHandler
    chunks: JobHandler
    environ: Mapping[str, str]
    fork_server: ForkServer

    async def claim(self, job_id: str) -> Claim:
        """Claims this job, which is queued or whose worker died."""
        async with self.database.connection() as db:
            while (claim := await claim_next(db, LEASE)) is not None:
                if claim.job_id == job_id:
                    return claim
        raise AssertionError("it cannot be claimed")

    async def claim_subjob(self, job_id: str) -> Claim:
        async with self.database.connection() as db:
            claim = await claiming.claim_subjob(db, job_id, LEASE)
        assert claim is not None
        return claim

    async def parts(self, job_id: str) -> list[Subjob]:
        async with self.database.connection() as db:
            return await subjobs.of_job(db, job_id)

    async def states(self, job_id: str) -> set[JobState]:
        return {part.state for part in await self.parts(job_id)}

    async def stream(self, job_id: str) -> Stream | None:
        async with self.database.connection() as db:
            return await queries.of_job(db, job_id)

    async def run(self, claim: Claim) -> None:
        """Runs a job to its end. Nobody takes the slots that it offers."""
        while True:
            try:
                return await self.process.run(claim, Progress())
            except GaveWay:
                continue

    @asynccontextmanager
    async def worker(self, **settings: str) -> AsyncIterator[None]:
        """A worker that is stopped as by SIGTERM."""
        own = {f"MEDIA_{name.upper()}": value for name, value in settings.items()}
        config, ready = load({**self.environ, **own}), asyncio.Event()
        work = app.work(config, ready.set, forks=nullcontext(self.fork_server))
        async with in_background(work):
            await ready.wait()
            yield

    async def begin(self, claim: Claim) -> Stream:
        """Starts a stream and is then stopped."""
        async with in_background(self.process.run(claim, Progress())):
            stream = await eventually_async(lambda: self.stream(claim.job_id))
        assert stream is not None
        return stream


@asynccontextmanager
async def in_background(work: Coroutine[Any, Any, Any]) -> AsyncIterator[asyncio.Task[Any]]:
    """Work in progress, which is cancelled at the end if it has not ended."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def hands(service: Running, fork_server: ForkServer) -> AsyncIterator[Hands]:
    config = load(service.environ)
    async with (
        app.base(config) as base,
        app.worker_resources(config, base, nullcontext(fork_server)) as parts,
    ):
        handlers = find_handlers(parts)
        segments = Segments(parts.database, parts.raw)
        process, chunks = handlers[JobKind.PROCESS], handlers[JobKind.CHUNK]
        yield Hands(parts.database, segments, process, chunks, service.environ, fork_server)


async def ordered(caller: Caller, ops: str = OPS) -> tuple[str, str]:
    """A video of four chunks without audio, and the job that streams it."""
    media = await caller.store_all(counted(101, audio_tracks=0))
    return media.media_id, (await process(caller, media.media_id, ops)).job_id


async def wrong(service: Running) -> list[str]:
    """Violated invariants, once nothing is being encoded."""
    names = [name for name in INVARIANTS if "stream" in name or "part of a job" in name]
    names.append("a blob whose references are counted wrong")
    async with service.database() as db:
        return [
            name for name in names if await (await db.execute(INVARIANTS[name].encode())).fetchall()
        ]


async def change(service: Running, job_id: str, state: str) -> None:
    await execute(service, f"update jobs set {state} where job_id = %s", job_id)  # noqa: S608


async def others_done(hands: Hands, job_id: str) -> None:
    """Waits until all parts but one have ended."""

    async def are() -> bool:
        running = [part for part in await hands.parts(job_id) if part.state is JobState.RUNNING]
        return await hands.states(job_id) == {JobState.SUCCEEDED, JobState.RUNNING} and (
            len(running) == 1
        )

    await eventually_async(are, 60)


async def purge(caller: Caller, media_id: str) -> None:
    delete = media_service_pb2.DeleteMediaRequest(media_id=media_id)
    await caller.call(caller.media.DeleteMedia, delete)
    request = media_service_pb2.PurgeMediaRequest(media_id=media_id)
    await caller.call(caller.media.PurgeMedia, request)


async def until_blocked(service: Running, task: asyncio.Task[Any]) -> None:
    """Waits until the task waits for a lock or has ended."""
    waiting = (
        "select from pg_locks l join pg_stat_activity a using (pid)"
        " where not granted and datname = current_database()"
    )
    async with service.database() as db:
        while not task.done() and not (await db.execute(waiting)).rowcount:
            await asyncio.sleep(0.01)


# The job and its worker


async def test_a_cancelled_job_starts_no_stream(ann: Caller, hands: Hands) -> None:
    _, job_id = await ordered(ann)
    claim = await hands.claim(job_id)
    await cancel(ann, job_id)
    await hands.process.run(claim, Progress())
    assert await hands.stream(job_id) is None
    assert await hands.parts(job_id) == []


async def test_a_worker_that_lost_a_job_does_not_end_its_parts(
    ann: Caller, hands: Hands, service: Running
) -> None:
    _, job_id = await ordered(ann)
    lost = await hands.claim(job_id)
    await hands.begin(lost)
    await change(service, job_id, DEAD)
    await hands.claim(job_id)
    await hands.process.give_up(lost, FAULT)
    assert await hands.states(job_id) == {JobState.QUEUED}


async def test_leftover_parts_are_cancelled_when_their_job_has_no_work_left(
    ann: Caller, hands: Hands, service: Running
) -> None:
    media_id, first_id = await ordered(ann)
    await hands.begin(await hands.claim(first_id))
    second_id = (await process(ann, media_id, OPS)).job_id
    await hands.run(await hands.claim(second_id))
    assert (await ended(ann, second_id)).state == Job.SUCCEEDED
    await change(service, first_id, DEAD)
    await hands.run(await hands.claim(first_id))
    assert (await ended(ann, first_id)).state == Job.SUCCEEDED
    assert await hands.states(first_id) == {JobState.CANCELLED}
    await changed_by(remove_abandoned(hands.database))
    assert await wrong(service) == []


@pytest.mark.parametrize("state", [DEAD, DUE])
async def test_the_worker_of_a_job_takes_over_a_part_without_a_free_slot(
    ann: Caller, hands: Hands, service: Running, state: str
) -> None:
    _, job_id = await ordered(ann)
    claim = await hands.claim(job_id)
    await hands.begin(claim)
    part = await hands.claim_subjob(job_id)
    async with hands.database.connection() as db:
        await claimed_jobs.put_back(db, claim)
    async with hands.worker(worker_slots="1"):
        await others_done(hands, job_id)
        await change(service, part.job_id, state)
        assert (await ended(ann, job_id)).state == Job.SUCCEEDED
    assert await wrong(service) == []


async def test_a_stopping_worker_requeues_its_job_and_part(
    ann: Caller, hands: Hands, service: Running
) -> None:
    _, job_id = await ordered(ann)
    async with hands.worker():

        async def is_running() -> bool:
            return JobState.RUNNING in await hands.states(job_id)

        await eventually_async(is_running, 60)
    async with service.database() as db:
        rows = await db.execute(
            "select kind, state, attempt from jobs where state <> 'SUCCEEDED'"
            " and (job_id = %(id)s or parent_id = %(id)s)",
            {"id": job_id},
        )
        assert set(await rows.fetchall()) == {("PROCESS", "QUEUED", 0), ("CHUNK", "QUEUED", 0)}
    assert not encoders()
    async with hands.worker():
        done = await ended(ann, job_id)
    assert (done.state, done.attempt) == (Job.SUCCEEDED, 1)
    assert await wrong(service) == []


async def test_a_stream_gives_way_between_chunks_to_an_owner_who_holds_no_slot(
    ann: Caller, bob: Caller, hands: Hands, service: Running
) -> None:
    _, job_id = await ordered(ann)
    claim = await hands.claim(job_id)
    await ordered(bob)
    for chunks in (1, 2):
        with pytest.raises(GaveWay):
            await hands.process.run(claim, Progress())
        states = [part.state for part in await hands.parts(job_id)]
        assert states.count(JobState.SUCCEEDED) == chunks
        stream = await hands.stream(job_id)
        assert stream is not None
        assert stream.tracks_ready
    async with hands.database.connection() as db:
        await claimed_jobs.put_back(db, claim)
    async with hands.worker():
        assert (await ended(ann, job_id)).state == Job.SUCCEEDED
    assert await wrong(service) == []


async def test_a_stream_gives_way_while_its_chunks_wait_for_the_end_of_an_outage(
    ann: Caller, bob: Caller, hands: Hands, service: Running
) -> None:
    _, job_id = await ordered(ann)
    claim = await hands.claim(job_id)
    await hands.begin(claim)
    async with service.database() as db:
        await db.execute(
            "update jobs set run_time = now() + interval '5 min', ready = false"
            " where parent_id = %s",
            (job_id,),
        )
    before = await hands.states(job_id)
    assert JobState.QUEUED in before
    await ordered(bob)
    async with asyncio.timeout(60):
        with pytest.raises(GaveWay):
            await hands.process.run(claim, Progress())
    assert await hands.states(job_id) == before


async def test_a_job_whose_part_kills_its_workers_fails_and_can_be_retried(
    ann: Caller, hands: Hands, service: Running
) -> None:
    _, job_id = await ordered(ann)
    claim = await hands.claim(job_id)
    await hands.begin(claim)
    part = await hands.claim_subjob(job_id)
    async with hands.database.connection() as db:
        await claimed_jobs.put_back(db, claim)
    async with hands.worker():
        await others_done(hands, job_id)
        await change(service, part.job_id, f"lost_leases = {MAX_LOST_LEASES}, {LONG_DEAD}")
        failed = await ended(ann, job_id)
        assert (failed.state, reason(failed)) == (Job.FAILED, Reason.INTERNAL)
        assert not await hands.states(job_id) & {JobState.QUEUED, JobState.RUNNING}
        await retry(ann, job_id)
        assert (await ended(ann, job_id)).state == Job.SUCCEEDED
    assert await wrong(service) == []


async def test_a_part_that_ends_after_its_job_was_cancelled_adds_no_segments(
    ann: Caller, hands: Hands, service: Running
) -> None:
    _, job_id = await ordered(ann)
    stream = await hands.begin(await hands.claim(job_id))
    part = await hands.claim_subjob(job_id)
    before = await segments_of(hands, stream)
    await cancel(ann, job_id)
    await hands.chunks.run(part, Progress())
    assert await segments_of(hands, stream) == before
    assert JobState.SUCCEEDED not in await hands.states(job_id)
    await changed_by(remove_abandoned(hands.database))
    assert await wrong(service) == []


async def segments_of(hands: Hands, stream: Stream) -> int:
    async with hands.database.connection() as db:
        rows = await db.execute(
            "select from stream_segments where stream_id = %s", (stream.stream_id,)
        )
    return rows.rowcount


async def test_a_restarted_stream_is_not_removed_as_abandoned(
    ann: Caller, hands: Hands, service: Running
) -> None:
    _, job_id = await ordered(ann)
    await hands.begin(await hands.claim(job_id))
    await cancel(ann, job_id)
    async with hands.database.transaction() as db:
        await changing.restart(db, job_id)
        assert await queries.of_job(db, job_id, lock=True)
        sweeping = asyncio.create_task(changed_by(remove_abandoned(hands.database)))
        await until_blocked(service, sweeping)
    await sweeping
    assert await hands.stream(job_id) is not None
    async with hands.worker():
        assert (await ended(ann, job_id)).state == Job.SUCCEEDED
    assert await wrong(service) == []


# The media and its other streams


async def test_a_purge_removes_a_segment_that_is_being_added(
    ann: Caller, hands: Hands, service: Running
) -> None:
    media_id, job_id = await ordered(ann)
    stream = await hands.begin(await hands.claim(job_id))
    blob_id = new_id()
    async with hands.database.transaction() as db:
        await blob_queries.reserve(db, Blob(blob_id, "raw", blob_id, 1, Checksums(0)))
        await blob_queries.take(db, blob_id)
        assert await queries.put_segment(db, stream.stream_id, NewSegment("x", 1), blob_id)
        purging = asyncio.create_task(purge(ann, media_id))
        await until_blocked(service, purging)
    await purging
    assert "a blob whose references are counted wrong" not in await wrong(service)


async def test_a_segment_is_not_added_while_its_media_is_being_purged(
    ann: Caller, hands: Hands, service: Running
) -> None:
    media_id, job_id = await ordered(ann)
    claim = await hands.claim(job_id)
    stream = await hands.begin(claim)
    async with hands.database.transaction() as db:
        await remove_media(db, media_id)
        adding = asyncio.create_task(hands.segments.add_subtitles(claim, stream, "s1", b"WEBVTT"))
        await until_blocked(service, adding)
    with pytest.raises(NotFound) as refused:
        await adding
    assert refused.value.reason == Reason.MEDIA_NOT_FOUND
    assert "a blob whose references are counted wrong" not in await wrong(service)


async def test_the_first_segments_do_not_determine_the_advertised_bandwidth(
    ann: Caller, hands: Hands
) -> None:
    media_id, job_id = await ordered(ann)
    claim = await hands.claim(job_id)
    stream = await hands.begin(claim)
    keep = hands.segments.deliver(claim, stream, 1, 0)
    short, box = stream.ladder.timescale // 2, struct.pack(">I4s", 1 << 20, b"free").ljust(1 << 20)
    for name in stream.ladder.names:
        await keep(name, InitSegment(b"avcC\1\x64\0\x0b"))
        await keep(name, Fragment(box, 0, short, 1 << 19))
    master = await text(ann, media_id, "master.m3u8")
    promised = {1500 * rung.bit_rate_kbps for rung in stream.ladder.rungs}
    assert {int(found) for found in re.findall(r"[:,]BANDWIDTH=(\d+)", master)} == promised


async def test_a_purge_stops_a_stream_that_is_being_encoded(
    start: Start, database: Database
) -> None:
    service = await start(work=True)
    ann = await service.caller()
    media = await ann.store_all(made(["testsrc2=s=426x240:r=30:d=60", "sine=d=60"]))
    job_id = (await process(ann, media.media_id, OPS)).job_id

    async def begun() -> bool:
        async with database.connection() as db:
            return (await db.execute("select from stream_segments where number > 0")).rowcount > 3

    await eventually_async(begun, 60)
    await purge(ann, media.media_id)
    failed = await ended(ann, job_id)
    assert (failed.state, reason(failed)) == (Job.FAILED, Reason.MEDIA_DELETED)

    async def all_stopped() -> bool:
        return not encoders()

    await eventually_async(all_stopped)
    await changed_by(remove_abandoned(database))
    assert await wrong(service) == []


async def test_deleting_a_stream_does_not_remove_its_successor(
    ann: Caller, hands: Hands, service: Running
) -> None:
    media_id, job_id = await ordered(ann)
    await hands.run(await hands.claim(job_id))
    next_id = (await process(ann, media_id, f"mute,{OPS}")).job_id
    claim = await hands.claim(next_id)
    await hands.begin(claim)
    request = media_service_pb2.DeleteRenditionRequest(media_id=media_id, rendition="stream")
    await ann.call(ann.media.DeleteRendition, request)
    await hands.run(claim)
    (playlist,) = await playlists(ann, media_id)
    assert "#EXT-X-ENDLIST" in await text(ann, media_id, playlist)
    assert "AUDIO" not in await text(ann, media_id, "master.m3u8")
    assert await wrong(service) == []


async def test_one_of_two_concurrent_streams_remains(start: Start) -> None:
    service = await start(work=True, worker_slots="2")
    ann = await service.caller()
    media_id, job_id = await ordered(ann)
    other_id = (await process(ann, media_id, f"mute,{OPS}")).job_id
    states = {(await ended(ann, each)).state for each in (job_id, other_id)}
    assert states == {Job.SUCCEEDED}
    assert len(await playlists(ann, media_id)) == 1
    assert await wrong(service) == []
