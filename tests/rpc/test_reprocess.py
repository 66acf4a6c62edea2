"""Standard renditions are rendered anew: by ReprocessMedia, and after failures of the service."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from mediaservice.v1 import media_pb2, media_service_pb2

from media_service.db.database import Database
from media_service.ids import new_id
from media_service.jobs.attempt import MAX_LOST_LEASES
from media_service.renditions.standard import retry_failed
from tests.support.batches import changed_by
from tests.support.media.format_files import make_image, with_tags
from tests.support.media.pdf_files import Page, pdf, text
from tests.support.media.small_files import jpeg
from tests.support.media.videos import generated
from tests.support.rpc.catalogue import delete_rendition, update
from tests.support.rpc.jobs import Job, ended, execute, get, listed, process, reason, reprocess
from tests.support.rpc.server import Caller, Running, Start, refused, unknown_id
from tests.support.tools import eventually_async

# A job whose workers die fails as soon as it is claimed.
DEADLY = "update jobs set lost_leases = %s where job_id = %s"
INSPECTED_BY_AN_EARLIER_VERSION = """
    update media set info = info - 'video_track' || '{"frame_rate": 1000}' where media_id = %s
"""
LONG_AGO = "update jobs set end_time = end_time - interval '7 hours' where job_id = %s"


async def read(caller: Caller, media_id: str) -> media_pb2.Media:
    request = media_service_pb2.GetMediaRequest(media_id=media_id)
    return await caller.call(caller.media.GetMedia, request)


async def all_ended(caller: Caller, media_id: str, jobs: int) -> list[Job]:
    """The jobs on a media, the newest first, once there are so many, and all have ended."""

    async def found() -> Sequence[Job]:
        now = await listed(caller, media_id=media_id)
        done = all(job.state in {Job.SUCCEEDED, Job.FAILED} for job in now)
        return now if done and len(now) == jobs else []

    return list(await eventually_async(found, 60))


async def info_of(service: Running, media_id: str) -> Any:
    """The stored results of inspection, of which some fields are not part of the API."""
    async with service.database() as db:
        rows = await db.execute("select info from media where media_id = %s", (media_id,))
        return (await rows.fetchall())[0][0]


def names(media: media_pb2.Media) -> set[str]:
    return {rendition.name for rendition in media.renditions}


def created(media: media_pb2.Media) -> dict[str, Any]:
    return {r.name: r.create_time.ToNanoseconds() for r in media.renditions}


async def test_deleted_and_existing_thumbnails_are_rendered_anew(working: Running) -> None:
    ann = await working.caller()
    taken = {"ifd2-DateTimeOriginal": "2026:01:02 03:04:05"}
    media_id = (await ann.store(with_tags(make_image(), taken).write_to_buffer(".jpg"))).media_id
    await all_ended(ann, media_id, 1)
    before = await read(ann, media_id)
    assert before.capture_time.ToJsonString() == "2026-01-02T03:04:05Z"
    corrected = Timestamp(seconds=before.capture_time.seconds + 3600)
    await update(ann, ["capture_time"], media_id=media_id, capture_time=corrected)
    await delete_rendition(ann, media_id, "small")
    own = await process(ann, media_id, "negate", rendition_name="mine")
    await ended(ann, own.job_id)
    job = await reprocess(ann, media_id.upper())
    assert (job.type, job.media_id, job.actor.id) == (Job.INGEST, media_id, "ann")
    done = await ended(ann, job.job_id)
    assert (done.state, done.progress_percent) == (Job.SUCCEEDED, 100)
    after = await read(ann, media_id)
    assert names(after) == names(before) | {"mine"}
    old, new = created(before), created(after)
    assert all(new[name] > old[name] for name in ("small", "medium", "large"))
    assert (after.state, after.ready_time) == (media_pb2.Media.READY, before.ready_time)
    assert after.capture_time == corrected


async def test_deleted_and_existing_presets_are_rendered_anew(start: Start) -> None:
    service = await start(work=True, document_presets="preview=page;tiny=page,resize:20x")
    ann = await service.caller()
    media_id = (await ann.store(pdf(Page(text("A page"))), "page.pdf")).media_id
    await all_ended(ann, media_id, 3)
    before = await read(ann, media_id)
    assert names(before) == {"preview", "tiny"}
    await delete_rendition(ann, media_id, "tiny")
    await reprocess(ann, media_id)
    jobs = await all_ended(ann, media_id, 6)
    assert {job.state for job in jobs} == {Job.SUCCEEDED}
    old, new = created(before), created(await read(ann, media_id))
    assert new.keys() == old.keys()
    assert all(new[name] > old[name] for name in old)


async def test_a_media_that_an_earlier_version_inspected_is_inspected_again(
    working: Running, tmp_path: Path
) -> None:
    """That version stored rates such as 1000 frames per second, and not how to read the video."""
    color = ("-c:v", "libx264", "-preset", "ultrafast", "-colorspace", "bt470bg")
    video = generated(tmp_path / "a.mp4", "testsrc=size=64x48:rate=5:duration=1", "", *color)
    ann = await working.caller()
    media_id = (await ann.store(video.read_bytes(), "a.mp4")).media_id
    await all_ended(ann, media_id, 1)
    inspected = await info_of(working, media_id)
    assert inspected["video_track"]["matrix"] == 5
    await execute(working, INSPECTED_BY_AN_EARLIER_VERSION, media_id)
    assert (await read(ann, media_id)).video.frame_rate == 1000
    assert "video_track" not in await info_of(working, media_id)
    await ended(ann, (await reprocess(ann, media_id)).job_id)
    assert await info_of(working, media_id) == inspected
    assert (await read(ann, media_id)).video.frame_rate == 5


async def test_a_media_that_is_being_inspected_gets_no_second_job(ann: Caller) -> None:
    media_id, key = (await ann.store(jpeg())).media_id, new_id()
    (ingest,) = await listed(ann, media_id=media_id)
    assert await reprocess(ann, media_id) == ingest
    assert await reprocess(ann, media_id, key) == ingest
    assert await reprocess(ann, media_id, key) == ingest
    assert await listed(ann, media_id=media_id) == [ingest]


async def test_a_repeated_key_returns_the_first_job(working: Running) -> None:
    ann = await working.caller()
    media_id, key = (await ann.store(jpeg())).media_id, new_id()
    other = (await ann.store(jpeg())).media_id
    await all_ended(ann, media_id, 1)
    first = await reprocess(ann, media_id, key)
    done = await ended(ann, first.job_id)
    assert await reprocess(ann, media_id, key) == done
    assert (await reprocess(ann, media_id, new_id())).job_id != first.job_id
    assert (await refused(reprocess(ann, other, key))).reason == "IDEMPOTENCY_CONFLICT"


async def test_only_readable_media_of_the_caller_are_processed(
    ann: Caller, bob: Caller, service: Running
) -> None:
    media_id = (await ann.store(jpeg())).media_id
    for caller, wanted in ((bob, media_id), (ann, unknown_id())):
        assert (await refused(reprocess(caller, wanted))).reason == "MEDIA_NOT_FOUND"
    await execute(service, "update media set state = 'QUARANTINED'")
    assert (await refused(reprocess(ann, media_id))).reason == "MEDIA_QUARANTINED"
    await execute(service, "update media set state = 'READY'")
    request = media_service_pb2.DeleteMediaRequest(media_id=media_id)
    await ann.call(ann.media.DeleteMedia, request)
    assert (await refused(reprocess(ann, media_id))).reason == "MEDIA_DELETED"
    assert len(await listed(ann, media_id=media_id)) == 1


@pytest.fixture
async def failed(ann: Caller, service: Running, start: Start) -> Job:
    """A job that processes a READY media anew, and fails because its workers die."""
    media_id = (await ann.store(jpeg())).media_id
    await execute(service, "update media set state = 'READY'")
    await execute(service, "update jobs set state = 'SUCCEEDED', end_time = now()")
    job = await reprocess(ann, media_id)
    await execute(service, DEADLY, MAX_LOST_LEASES, job.job_id)
    await start(work=True)
    return await ended(ann, job.job_id)


async def test_a_ready_media_stays_ready_if_it_cannot_be_processed_anew(
    ann: Caller, failed: Job
) -> None:
    assert (failed.state, reason(failed)) == (Job.FAILED, "INTERNAL")
    assert (await read(ann, failed.media_id)).state == media_pb2.Media.READY


async def test_a_job_that_failed_by_no_fault_of_the_media_starts_again_later(
    ann: Caller, service: Running, failed: Job, database_url: str
) -> None:
    async with Database(database_url, 2) as database:
        assert await changed_by(retry_failed(database)) == 0, "at once"
        await execute(service, LONG_AGO, failed.job_id)
        assert await changed_by(retry_failed(database)) == 1
        again = await ended(ann, failed.job_id)
        assert (again.state, again.attempt) == (Job.SUCCEEDED, 1)
        assert {"small", "medium"} <= names(await read(ann, failed.media_id))
        assert await changed_by(retry_failed(database)) == 0


@pytest.mark.parametrize(
    "change",
    [
        "update jobs set error_reason = 'MEDIA_CORRUPT'",
        "update jobs set create_time = create_time - interval '3 days'",
        "update jobs set kind = 'PROCESS', rendition = 'mine', actor_id = 'ann'",
        "update jobs set state = 'CANCELLED'",
        "update media set delete_time = now()",
        "update media set state = 'QUARANTINED'",
    ],
)
async def test_other_failed_jobs_do_not_start_again(
    ann: Caller, service: Running, database_url: str, change: str
) -> None:
    (job,) = await listed(ann, media_id=(await ann.store(jpeg())).media_id)
    assert await fail_long_ago(service, database_url, job, "update jobs set progress_percent = 0")
    assert not await fail_long_ago(service, database_url, job, change)
    assert (await get(ann, job.job_id)).state in {Job.FAILED, Job.CANCELLED}


async def fail_long_ago(service: Running, database_url: str, job: Job, change: str) -> int:
    """Makes a job one that failed, changes it further, and returns how many jobs start again."""
    fail = (
        "update jobs set state = 'FAILED', error_reason = 'INTERNAL', end_time = now() where"
        " job_id = %s"
    )
    for statement, *params in ((fail, job.job_id), (LONG_AGO, job.job_id), (change,)):
        await execute(service, statement, *params)
    async with Database(database_url, 2) as database:
        return await changed_by(retry_failed(database))


async def test_a_later_job_for_the_same_takes_precedence_over_a_failed_one(
    ann: Caller, service: Running, database_url: str
) -> None:
    media_id = (await ann.store(jpeg())).media_id
    (first,) = await listed(ann, media_id=media_id)
    ready = "update jobs set state = 'FAILED', error_reason = 'INTERNAL', end_time = now()"
    await execute(service, ready)
    await execute(service, LONG_AGO, first.job_id)
    second = await reprocess(ann, media_id)
    assert second.job_id != first.job_id
    async with Database(database_url, 2) as database:
        assert await changed_by(retry_failed(database)) == 0
