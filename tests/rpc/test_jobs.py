"""Jobs over gRPC: start, read, list, watch, cancel, and retry them."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import grpc
import psutil
import pytest
from google.rpc import error_details_pb2
from mediaservice.v1 import (
    download_service_pb2,
    job_service_pb2,
    media_pb2,
    media_service_pb2,
    operation_pb2,
    processing_service_pb2,
    processing_service_pb2_grpc,
    upload_service_pb2,
)

from media_service.db.database import Database
from media_service.jobs import attempt
from media_service.jobs.service import forget_ended
from tests.support import job_claims as claims
from tests.support.batches import changed_by
from tests.support.media.small_files import jpeg, video_bytes
from tests.support.rpc import catalogue
from tests.support.rpc.catalogue import delete_rendition
from tests.support.rpc.jobs import (
    Job,
    Operation,
    Request,
    batch,
    cancel,
    ended,
    execute,
    get,
    listed,
    process,
    reason,
    rendition,
    retry,
    until,
    watch,
)
from tests.support.rpc.server import Caller, Running, Start, refused, unknown_id

# Uses one CPU core for seconds.
SLOW = "resize:11000x11000:enlarge=true:fit=fill,blur:100,rotate:33,blur:90,convert:AVIF:effort=9"


# From the request to the rendition


async def test_a_pipeline_becomes_a_rendition(working: Running) -> None:
    ann = await working.caller()
    media = await ann.store(jpeg(width=64, height=48))
    accepted = await process(ann, media.media_id, "resize:32x,convert:WEBP")
    assert (accepted.type, accepted.priority, accepted.attempt) == (Job.PROCESS, Job.NORMAL, 0)
    assert accepted.rendition_name.startswith("p-")
    assert (accepted.actor.type, accepted.actor.id) == ("user", "ann")
    seen = [job async for job in watch(ann, accepted.job_id)]
    done = seen[-1]
    assert (done.state, done.progress_percent, done.stage) == (Job.SUCCEEDED, 100, "")
    percents = [job.progress_percent for job in seen]
    assert percents == sorted(percents)
    made = done.rendition
    assert (made.content_type, made.width, made.height) == ("image/webp", 32, 24)
    content = await rendition(ann, media.media_id, made.name)
    assert len(content) == made.size_bytes
    assert content[8:12] == b"WEBP"
    assert done.start_time.ToNanoseconds() >= done.create_time.ToNanoseconds()
    assert done.end_time.ToNanoseconds() >= done.start_time.ToNanoseconds()
    known = await ann.call(
        ann.media.GetMedia, media_service_pb2.GetMediaRequest(media_id=media.media_id)
    )
    assert made in known.renditions


async def test_a_job_reports_its_progress(
    working: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "PROGRESS_SECONDS", 0.01)
    ann = await working.caller()
    media = await ann.store(jpeg(width=64, height=48))
    ops = "resize:2000x2000:fit=fill:enlarge=true,blur:20,convert:WEBP:effort=6"
    job = await process(ann, media.media_id, ops)
    seen = [each async for each in watch(ann, job.job_id)]
    assert "encode" in {each.stage for each in seen}, "no encode stage was reported"
    percents = {each.progress_percent for each in seen if each.stage == "render"}
    assert any(20 < percent < 60 for percent in percents), "no progress was reported"


async def test_a_job_shows_its_operations_with_all_defaults(ann: Caller) -> None:
    media = await ann.store(jpeg())
    typed = operation_pb2.Operation(blur=operation_pb2.Operation.Blur(sigma=2))
    request = Request(media_id=media.media_id, operations=[typed])
    job = await ann.call(ann.processing.ProcessMedia, request)
    assert [operation.blur.sigma for operation in job.operations] == [2]
    job = await process(ann, media.media_id, "resize:10x")
    assert job.operations[0].resize.width == 10
    assert job.operations[0].resize.fit, "the default of fit is missing"


async def test_an_existing_rendition_of_the_same_pipeline_is_kept(working: Running) -> None:
    ann = await working.caller()
    media = await ann.store(jpeg())
    first = await ended(ann, (await process(ann, media.media_id, "negate")).job_id)
    again = await process(ann, media.media_id, "negate")
    assert again.job_id != first.job_id
    assert (again.state, again.attempt) == (Job.SUCCEEDED, 0)
    assert again.rendition == first.rendition
    other = await process(ann, media.media_id, "negate", rendition_name="negative")
    assert other.state == Job.QUEUED


async def test_a_later_rendition_replaces_one_of_the_same_name(working: Running) -> None:
    ann = await working.caller()
    media = await ann.store(jpeg(width=64, height=48))
    for width in (32, 16):
        job = await process(ann, media.media_id, f"resize:{width}x", rendition_name="mine")
        assert (await ended(ann, job.job_id)).rendition.width == width
    first = (await listed(ann, type=Job.PROCESS))[1]
    assert first.state == Job.SUCCEEDED
    assert (first.rendition_name, first.HasField("rendition")) == ("mine", False), "it was replaced"


async def test_an_image_that_cannot_be_read_fails_the_job_with_a_reason(working: Running) -> None:
    ann = await working.caller()
    data = jpeg(width=64, height=48)
    media = await ann.store(data[: len(data) // 2])
    job = await ended(ann, (await process(ann, media.media_id, "negate")).job_id)
    assert (job.state, job.attempt, reason(job)) == (Job.FAILED, 1, "MEDIA_CORRUPT")
    assert job.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


async def test_overlays_are_checked_again_when_the_job_runs(start: Start) -> None:
    service = await start()
    ann = await service.caller()
    media, logo = await ann.store(jpeg(width=64, height=48)), await ann.store(jpeg())
    job = await process(ann, media.media_id, f"compose:{logo.media_id}")
    request = media_service_pb2.DeleteMediaRequest(media_id=logo.media_id)
    await ann.call(ann.media.DeleteMedia, request)
    await start(work=True)
    job = await ended(ann, job.job_id)
    assert (job.state, reason(job)) == (Job.FAILED, "MEDIA_DELETED")


# Deleting renditions


async def test_a_rendition_is_deleted_and_can_be_rendered_again(
    working: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "media_service.audit")
    ann = await working.caller()
    media_id = (await ann.store(jpeg())).media_id
    job = await ended(ann, (await process(ann, media_id, "negate", rendition_name="mine")).job_id)
    (ingest,) = await listed(ann, type=Job.INGEST)
    await ended(ann, ingest.job_id)
    request = media_service_pb2.GetMediaRequest(media_id=media_id)
    before = await ann.call(ann.media.GetMedia, request)
    left = await delete_rendition(ann, media_id.upper(), "mine", before.etag)
    assert {r.name for r in before.renditions} - {r.name for r in left.renditions} == {"mine"}
    assert left.etag != before.etag
    assert left == await ann.call(ann.media.GetMedia, request)
    line = f"action=renditions.delete user='ann' org='' subject={media_id} outcome=OK"
    assert line in caplog.text
    assert (await refused(rendition(ann, media_id, "mine"))).reason == "RENDITION_NOT_FOUND"
    assert (await get(ann, job.job_id)).rendition.width == 0, "the job shows a deleted rendition"
    again = await process(ann, media_id, "negate", rendition_name="mine")
    assert again.state == Job.QUEUED
    assert (await ended(ann, again.job_id)).rendition.width > 0


async def test_required_renditions_cannot_be_deleted(
    ann: Caller, bob: Caller, service: Running
) -> None:
    media_id = (await ann.store(jpeg())).media_id
    await crowd(service, media_id, 1, 1)
    reader = await service.caller("ann", scope="media.read")
    for caller, name, etag, wrong in (
        (ann, "r-2", "", "RENDITION_NOT_FOUND"),
        (ann, "", "", "INVALID_FIELD"),
        (ann, "r-1", '"0"', "ETAG_MISMATCH"),
        (bob, "r-1", "", "MEDIA_NOT_FOUND"),
        (reader, "r-1", "", "SCOPE_MISSING"),
    ):
        assert (await refused(delete_rendition(caller, media_id, name, etag))).reason == wrong
    await ann.call(ann.media.DeleteMedia, media_service_pb2.DeleteMediaRequest(media_id=media_id))
    assert (await refused(delete_rendition(ann, media_id, "r-1"))).reason == "MEDIA_DELETED"


# Refused requests


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, "INVALID_OPERATIONS"),
        ({"ops": "fly:away"}, "INVALID_OPERATIONS"),
        ({"ops": "blur:-1"}, "INVALID_OPERATIONS"),
        ({"ops": ",".join(["negate"] * 33)}, "INVALID_OPERATIONS"),
        ({"ops": "negate", "operations": [Operation()]}, "INVALID_OPERATIONS"),
        ({"operations": [Operation()]}, "INVALID_OPERATIONS"),
        ({"operations": [Operation(blur=Operation.Blur(sigma=-1))]}, "INVALID_OPERATIONS"),
        ({"operations": [Operation(negate=Operation.Negate())] * 33}, "INVALID_OPERATIONS"),
        ({"ops": "negate", "rendition_name": "small"}, "INVALID_FIELD"),
        ({"ops": "negate", "rendition_name": "../x"}, "INVALID_FIELD"),
        ({"ops": "negate", "request_id": "x"}, "INVALID_FIELD"),
        ({"ops": "negate", "priority": 9}, "INVALID_FIELD"),
    ],
)
async def test_an_invalid_request_is_refused(
    ann: Caller, fields: dict[str, Any], wrong: str
) -> None:
    media = await ann.store(jpeg())
    request = Request(media_id=media.media_id, **fields)
    refusal = await refused(ann.call(ann.processing.ProcessMedia, request))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, wrong)
    assert await listed(ann, type=Job.PROCESS) == []


async def test_a_pipeline_in_both_forms_is_refused(ann: Caller) -> None:
    media = await ann.store(jpeg())
    typed = operation_pb2.Operation(negate=operation_pb2.Operation.Negate())
    request = Request(media_id=media.media_id, ops="negate", operations=[typed])
    refusal = await refused(ann.call(ann.processing.ProcessMedia, request))
    assert refusal.reason == "INVALID_OPERATIONS"


async def test_an_invalid_operation_is_named_in_both_pipeline_forms(ann: Caller) -> None:
    media = await ann.store(jpeg())
    refusal = await refused(process(ann, media.media_id, "negate,blur:-1"))
    assert refusal.fields == ["ops[1].blur.sigma"]
    bad = [Operation(negate=Operation.Negate()), Operation(blur=Operation.Blur(sigma=-1))]
    request = Request(media_id=media.media_id, operations=bad)
    refusal = await refused(ann.call(ann.processing.ProcessMedia, request))
    assert refusal.fields == ["operations[1].blur.sigma"]


async def test_the_length_of_a_pipeline_is_limited(ann: Caller) -> None:
    """The limit applies to both forms of a pipeline: text and messages."""
    media = await ann.store(jpeg())
    letters = [Operation(text=Operation.Text(text="é" * 500))]
    request = Request(media_id=media.media_id, operations=letters * 8)
    refusal = await refused(ann.call(ann.processing.ProcessMedia, request))
    assert (refusal.reason, refusal.fields) == ("INVALID_OPERATIONS", ["operations"])
    request = Request(media_id=media.media_id, operations=letters * 7)
    assert len((await ann.call(ann.processing.ProcessMedia, request)).operations) == 7


async def test_an_unsupported_output_format_is_refused_at_once(ann: Caller) -> None:
    media = await ann.store(jpeg())
    refusal = await refused(process(ann, media.media_id, "convert:HEIC"))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "OPERATION_NOT_APPLICABLE",
    )
    assert "HEIC cannot be written; use one of JPEG, PNG" in refusal.message
    request = download_service_pb2.SignUrlRequest(media_id=media.media_id, ops="convert:HEIC")
    refusal = await refused(ann.call(ann.downloads.SignUrl, request))
    assert refusal.reason == "OPERATION_NOT_APPLICABLE"


async def crowd(service: Running, media_id: str, first: int, last: int) -> None:
    """Adds renditions `r-1`, `r-2`, … to a media. Their blob is that of the original."""
    await execute(
        service,
        "insert into renditions (media_id, name, blob_id, content_type, pipeline, version)"
        " select media_id, 'r-' || n, blob_id, 'image/webp', 'negate', 1"
        " from media_versions, generate_series(%s::int, %s::int) n where media_id = %s",
        first,
        last,
        media_id,
    )


async def test_the_number_of_renditions_of_a_media_is_limited(
    ann: Caller, service: Running
) -> None:
    media = await ann.store(jpeg())
    await crowd(service, media.media_id, 1, 199)
    assert (await process(ann, media.media_id, "blur:2", rendition_name="more")).state == Job.QUEUED
    await crowd(service, media.media_id, 200, 200)
    refusal = await refused(process(ann, media.media_id, "blur:2", rendition_name="more"))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "RENDITION_LIMIT_EXCEEDED",
    )
    assert refusal.metadata["max_renditions"] == "200"
    assert (await process(ann, media.media_id, "blur:2", rendition_name="r-7")).state == Job.QUEUED


async def test_a_job_fails_if_its_media_reached_the_rendition_limit_meanwhile(start: Start) -> None:
    service = await start()
    ann = await service.caller()
    media = await ann.store(jpeg(width=64, height=48))
    job = await process(ann, media.media_id, "negate")
    await crowd(service, media.media_id, 1, 200)
    await start(work=True)
    job = await ended(ann, job.job_id)
    assert (job.state, reason(job)) == (Job.FAILED, "RENDITION_LIMIT_EXCEEDED")
    assert job.error.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    (ingest,) = await listed(ann, type=Job.INGEST)
    assert (await ended(ann, ingest.job_id)).state == Job.SUCCEEDED
    request = media_service_pb2.GetMediaRequest(media_id=media.media_id)
    names = {r.name for r in (await ann.call(ann.media.GetMedia, request)).renditions}
    assert {"small", "medium", "large"} < names, "a default thumbnail is missing"


async def test_only_images_of_the_same_owner_can_be_overlays(ann: Caller, bob: Caller) -> None:
    mine, theirs, video = (
        await ann.store(jpeg()),
        await bob.store(jpeg()),
        await ann.store(video_bytes(5000)),
    )
    for media_id, ops, wrong in (
        (theirs.media_id, "negate", "MEDIA_NOT_FOUND"),
        (unknown_id(), "negate", "MEDIA_NOT_FOUND"),
        (video.media_id, "negate", "OPERATION_NOT_APPLICABLE"),
        (mine.media_id, f"compose:{theirs.media_id}", "MEDIA_NOT_FOUND"),
        (mine.media_id, f"compose:{video.media_id}", "OPERATION_NOT_APPLICABLE"),
    ):
        assert (await refused(process(ann, media_id, ops))).reason == wrong
    request = media_service_pb2.DeleteMediaRequest(media_id=mine.media_id)
    await ann.call(ann.media.DeleteMedia, request)
    assert (await refused(process(ann, mine.media_id, "negate"))).reason == "MEDIA_DELETED"


async def test_jobs_of_another_owner_do_not_exist(ann: Caller, bob: Caller) -> None:
    media = await ann.store(jpeg())
    job = await process(ann, media.media_id, "negate")
    assert await listed(bob) == []
    for call in (
        get(bob, job.job_id),
        cancel(bob, job.job_id),
        retry(bob, job.job_id),
        anext(watch(bob, job.job_id)),
        get(ann, unknown_id()),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")


async def test_internal_jobs_are_hidden_from_callers(ann: Caller, service: Running) -> None:
    upload = await ann.create()
    abort = upload_service_pb2.AbortUploadRequest(upload_id=upload.upload_id)
    await ann.call(ann.uploads.AbortUpload, abort)
    async with service.database() as db:
        rows = await db.execute("select job_id::text from jobs where kind = 'DISCARD'")
        row = await rows.fetchone()
    assert row is not None
    assert (await refused(get(ann, row[0]))).reason == "JOB_NOT_FOUND"
    assert await listed(ann) == []


# Batches


async def test_each_request_of_a_batch_succeeds_or_fails_on_its_own(
    ann: Caller, bob: Caller
) -> None:
    mine, theirs = await ann.store(jpeg()), await bob.store(jpeg())
    results = await batch(
        ann,
        Request(media_id=mine.media_id, ops="blur:1"),
        Request(media_id=theirs.media_id, ops="negate"),
        Request(media_id=mine.media_id, ops="blur:-1"),
        Request(media_id=mine.media_id, ops="blur:2"),
    )
    started = [result.job for result in results if result.WhichOneof("result") == "job"]
    assert [result.WhichOneof("result") for result in results] == ["job", "error", "error", "job"]
    assert [job.operations[0].blur.sigma for job in started] == [1, 2]
    assert [reason(result) for result in results[1:3]] == ["MEDIA_NOT_FOUND", "INVALID_OPERATIONS"]
    assert results[1].error.code == grpc.StatusCode.NOT_FOUND.value[0]
    bad = error_details_pb2.BadRequest()
    assert results[2].error.details[1].Unpack(bad)
    assert [each.field for each in bad.field_violations] == ["ops[0].blur.sigma"]
    listed_ids = {job.job_id for job in await listed(ann, type=Job.PROCESS)}
    assert listed_ids == {job.job_id for job in started}


async def test_an_atomic_batch_starts_all_jobs_or_none(ann: Caller, bob: Caller) -> None:
    mine, theirs = await ann.store(jpeg()), await bob.store(jpeg())
    requests = [Request(media_id=mine.media_id, ops=f"blur:{n}") for n in (1, 2)]
    not_mine = Request(media_id=theirs.media_id, ops="negate")
    refusal = await refused(batch(ann, *requests, not_mine, atomic=True))
    assert refusal.reason == "MEDIA_NOT_FOUND"
    assert await listed(ann, type=Job.PROCESS) == []
    jobs = [result.job for result in await batch(ann, *requests, atomic=True)]
    assert [job.operations[0].blur.sigma for job in jobs] == [1, 2]
    assert {job.job_id for job in await listed(ann, type=Job.PROCESS)} == {j.job_id for j in jobs}


async def test_an_atomic_batch_names_the_request_that_is_invalid(ann: Caller) -> None:
    media = await ann.store(jpeg())
    good = Request(media_id=media.media_id, ops="negate")
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"media_id": "x"}, ["requests[1].media_id"]),
        ({"ops": "negate,blur:-1"}, ["requests[1].ops[1].blur.sigma"]),
        ({"rendition_name": "small"}, ["requests[1].rendition_name"]),
        ({"ops": "convert:HEIC"}, []),
    ]
    for fields, wrong in cases:
        bad = Request(**({"media_id": media.media_id, "ops": "negate"} | fields))
        refusal = await refused(batch(ann, good, bad, atomic=True))
        assert refusal.fields == wrong
        assert "requests[1]" in refusal.message
    assert await listed(ann, type=Job.PROCESS) == []


async def test_a_batch_is_limited_to_a_thousand_requests(ann: Caller) -> None:
    media = await ann.store(jpeg())
    requests = [Request(media_id=media.media_id, ops=f"resize:{n}x") for n in range(1, 1002)]
    assert (await refused(batch(ann, *requests))).reason == "INVALID_FIELD"
    results = await batch(ann, *requests[:1000])
    assert [result.job.operations[0].resize.width for result in results] == list(range(1, 1001))
    assert len({result.job.job_id for result in results}) == 1000


@pytest.mark.parametrize("atomic", [False, True])
async def test_the_audit_log_names_the_jobs_of_a_batch(
    ann: Caller, caplog: pytest.LogCaptureFixture, atomic: bool
) -> None:
    caplog.set_level(logging.INFO, "media_service.audit")
    media = await ann.store(jpeg())
    request = Request(media_id=media.media_id, ops="negate")
    results = await batch(ann, request, request, atomic=atomic)
    ids = ",".join(result.job.job_id for result in results)
    assert f"action=renditions.create user='ann' org='' subject={ids} outcome=OK" in caplog.text
    bad = Request(media_id=unknown_id(), ops="fly")
    await refused(batch(ann, request, bad, atomic=True))
    async with asyncio.timeout(10):  # a refusal is logged after it is sent
        while f"subject={media.media_id}," not in caplog.text:
            await asyncio.sleep(0.01)


async def test_an_empty_batch_is_refused(ann: Caller) -> None:
    assert (await refused(batch(ann))).reason == "INVALID_FIELD"


# Lists


async def test_lists_are_filtered_and_paged(ann: Caller) -> None:
    media, other = await ann.store(jpeg()), await ann.store(jpeg())
    jobs = [await process(ann, media.media_id, f"blur:{n}") for n in range(1, 6)]
    await cancel(ann, jobs[0].job_id)
    newest_first = [job.job_id for job in reversed(jobs)]
    found = await listed(ann, media_id=media.media_id.upper(), type=Job.PROCESS)
    assert [job.job_id for job in found] == newest_first
    assert [job.job_id for job in await listed(ann, state=Job.CANCELLED)] == [jobs[0].job_id]
    assert [job.type for job in await listed(ann, media_id=other.media_id)] == [Job.INGEST]
    seen: list[str] = []
    request = job_service_pb2.ListJobsRequest(page_size=2, type=Job.PROCESS)
    while True:
        page = await ann.call(ann.jobs.ListJobs, request)
        seen += [job.job_id for job in page.jobs]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == newest_first
    request.type = Job.INGEST
    refusal = await refused(ann.call(ann.jobs.ListJobs, request))
    assert refusal.reason == "INVALID_PAGE_TOKEN"


async def test_a_page_ends_before_it_exceeds_the_message_size(
    ann: Caller, service: Running
) -> None:
    media = await ann.store(jpeg())
    texts = ",".join(f"text:text={n}{'é' * 490}" for n in range(7))
    await execute(
        service,
        "insert into jobs (job_id, kind, subject_id, state, org_id, owner_type, owner_id, pipeline,"
        " rendition) select gen_random_uuid(), 'PROCESS', subject_id, 'QUEUED', org_id, owner_type,"
        " owner_id, %s, 'r' from jobs, generate_series(1, 500)",
        texts,
    )
    request = job_service_pb2.ListJobsRequest(page_size=1000, type=Job.PROCESS)
    seen: list[str] = []
    pages = 0
    while True:
        page = await ann.call(ann.jobs.ListJobs, request)
        assert page.ByteSize() < 1.1 * (1 << 20)
        seen += [job.job_id for job in page.jobs]
        pages += 1
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert pages > 2
    assert len(seen) == len(set(seen)) == 500
    assert {job.media_id for job in page.jobs} == {media.media_id}


async def test_jobs_are_removed_30_days_after_their_end(
    ann: Caller, service: Running, database: Database
) -> None:
    media = await ann.store(jpeg())
    old, young, waits = [await process(ann, media.media_id, f"blur:{n}") for n in (1, 2, 3)]
    for job in (old, young):
        await cancel(ann, job.job_id)
    await execute(
        service,
        "update jobs set end_time = now() - interval '31 days', create_time = 'epoch'"
        " where job_id = %s",
        old.job_id,
    )
    await execute(service, "update jobs set create_time = 'epoch' where job_id = %s", waits.job_id)
    assert await changed_by(forget_ended(database)) == 1
    left = {job.job_id for job in await listed(ann, type=Job.PROCESS)}
    assert left == {young.job_id, waits.job_id}


async def test_internal_jobs_are_removed_after_a_day(
    ann: Caller, service: Running, database: Database
) -> None:
    await ann.store(jpeg())
    for _ in range(3):
        upload = await ann.create()
        abort = upload_service_pb2.AbortUploadRequest(upload_id=upload.upload_id)
        await ann.call(ann.uploads.AbortUpload, abort)
    await execute(service, "update jobs set state = 'SUCCEEDED', end_time = now()")
    assert await changed_by(forget_ended(database)) == 0
    await execute(service, "update jobs set end_time = now() - interval '25 hours'")
    assert await changed_by(forget_ended(database)) == 3
    assert [job.type for job in await listed(ann)] == [Job.INGEST]


# Cancelling and retrying


async def test_a_queued_job_can_be_cancelled_and_retried(start: Start) -> None:
    service = await start()
    ann = await service.caller()
    media = await ann.store(jpeg())
    job = await process(ann, media.media_id, "negate")
    refusal = await refused(retry(ann, job.job_id))
    assert (refusal.reason, refusal.metadata["state"]) == ("JOB_NOT_RETRYABLE", "QUEUED")
    cancelled = await cancel(ann, job.job_id)
    assert cancelled.state == Job.CANCELLED
    assert cancelled.HasField("end_time")
    assert await cancel(ann, job.job_id) == cancelled
    again = await retry(ann, job.job_id)
    assert (again.state, again.HasField("end_time")) == (Job.QUEUED, False)
    await start(work=True)
    done = await ended(ann, job.job_id)
    assert done.state == Job.SUCCEEDED
    refusal = await refused(cancel(ann, job.job_id))
    assert (refusal.reason, refusal.metadata["state"]) == ("JOB_NOT_CANCELLABLE", "SUCCEEDED")


async def test_an_ingest_job_cannot_be_cancelled(ann: Caller) -> None:
    await ann.store(jpeg())
    (ingest,) = await listed(ann)
    refusal = await refused(cancel(ann, ingest.job_id))
    assert (refusal.reason, refusal.metadata["type"]) == ("JOB_NOT_CANCELLABLE", "INGEST")


def used_seconds() -> dict[int, float]:
    """The CPU time that each child process has used."""
    found = {}
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if child.name() == "media-child":
                found[child.pid] = child.cpu_times().user
    return found


def busy_since(before: Mapping[int, float]) -> set[int]:
    """Child processes that have since used more CPU time than their start takes."""
    return {pid for pid, used in used_seconds().items() if used > before.get(pid, 0) + 1}


@pytest.mark.parametrize("deleted", [False, True])
async def test_cancelling_a_job_or_deleting_its_media_kills_its_codec_process(
    working: Running, deleted: bool
) -> None:
    ann = await working.caller()
    media = await ann.store(jpeg(width=64, height=48))
    before = used_seconds()
    job = await process(ann, media.media_id, SLOW)
    await until(ann, job.job_id, lambda j: j.stage == "render")
    async with asyncio.timeout(60):
        while not (busy := busy_since(before)):
            await asyncio.sleep(0.05)
    if deleted:
        await catalogue.delete(ann, media.media_id)
    else:
        assert (await cancel(ann, job.job_id)).state == Job.CANCELLED
    async with asyncio.timeout(8):  # sooner than the next renewal of the lease
        while any(psutil.pid_exists(pid) for pid in busy):
            await asyncio.sleep(0.01)
    stopped = await ended(ann, job.job_id)
    if deleted:
        assert (stopped.state, reason(stopped)) == (Job.FAILED, "MEDIA_DELETED")
        await catalogue.undelete(ann, media.media_id)
        assert not (await cancel(ann, job.job_id)).HasField("error"), "it was queued again"
    else:
        assert stopped.state == Job.CANCELLED
    other = await process(ann, media.media_id, "negate")
    assert (await ended(ann, other.job_id)).state == Job.SUCCEEDED, "the worker is healthy"


async def test_the_jobs_of_a_deleted_media_wait_until_it_is_undeleted(
    ann: Caller, database: Database
) -> None:
    media = await ann.store(jpeg())
    (ingest,) = await listed(ann)
    await catalogue.delete(ann, media.media_id)
    stopped = await get(ann, ingest.job_id)
    assert (stopped.state, reason(stopped)) == (Job.FAILED, "MEDIA_DELETED")
    async with database.connection() as db:
        assert await claims.claim(db) is None
    await catalogue.undelete(ann, media.media_id)
    assert (await get(ann, ingest.job_id)).state == Job.QUEUED
    await catalogue.delete(ann, media.media_id)
    async with database.connection() as db:
        await db.execute("delete from jobs")  # as after thirty days
    await catalogue.undelete(ann, media.media_id)
    (again,) = await listed(ann)
    assert (again.type, again.state) == (Job.INGEST, Job.QUEUED)


async def test_a_failed_ingest_job_can_be_retried(working: Running) -> None:
    ann = await working.caller()
    data = jpeg(width=64, height=48)
    media = await ann.store(data[: len(data) // 2])
    (ingest,) = await listed(ann)
    failed = await ended(ann, ingest.job_id)
    assert (failed.state, reason(failed)) == (Job.FAILED, "MEDIA_CORRUPT")
    again = await retry(ann, ingest.job_id)
    assert (again.state, again.attempt, again.error.code) == (Job.QUEUED, 0, 0)
    assert (await ended(ann, ingest.job_id)).state == Job.FAILED
    assert media.state == media_pb2.Media.PENDING


# Operations


async def test_operations_are_listed_without_a_token(service: Running) -> None:
    async with grpc.aio.insecure_channel(service.address) as channel:
        stub = processing_service_pb2_grpc.ProcessingServiceStub(channel)
        found = await stub.ListOperations(processing_service_pb2.ListOperationsRequest())
    names = [operation.name for operation in found.operations]
    oneof = operation_pb2.Operation.DESCRIPTOR.oneofs_by_name["operation"]
    assert names == [field.name for field in oneof.fields]
    resize = next(operation for operation in found.operations if operation.name == "resize")
    assert resize.description
    assert resize.example.startswith("resize")
    assert list(resize.kinds) == [media_pb2.Media.IMAGE]
    assert "width" in {parameter.name for parameter in resize.parameters}
    convert = next(operation for operation in found.operations if operation.name == "convert")
    (formats,) = (p.values for p in convert.parameters if p.name == "format")
    assert list(formats) == ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF"]
