"""Idempotency keys of calls that start jobs: repeating a call returns the first job."""

import asyncio
from typing import Any

import grpc
import pytest
from mediaservice.v1 import job_pb2, job_service_pb2, processing_service_pb2

from media_service.db.database import Database
from media_service.ids import new_id
from media_service.uploads.periodic_tasks import expire_keys
from tests.support.batches import changed_by
from tests.support.media.small_files import jpeg
from tests.support.rpc.server import Caller, Running, Start, refused

Job = job_pb2.Job
Request = processing_service_pb2.ProcessMediaRequest
Batch = processing_service_pb2.BatchProcessMediaRequest
Result = processing_service_pb2.BatchProcessMediaResponse.Result
HEADER = "idempotency-key"
MIB = 1 << 20


async def process(
    caller: Caller, media_id: str, ops: str, *headers: tuple[str, str], **fields: Any
) -> Job:
    request = Request(media_id=media_id, ops=ops, **fields)
    job: Job = await caller.call(caller.processing.ProcessMedia, request, *headers)
    return job


async def batch(
    caller: Caller, *requests: Request, atomic: bool = False, key: str = ""
) -> list[Result]:
    headers = [(HEADER, key)] if key else []
    request = Batch(requests=requests, atomic=atomic)
    response = await caller.call(caller.processing.BatchProcessMedia, request, *headers)
    return list(response.results)


async def retry(caller: Caller, job_id: str, *headers: tuple[str, str], key: str = "") -> Job:
    request = job_service_pb2.RetryJobRequest(job_id=job_id, request_id=key)
    job: Job = await caller.call(caller.jobs.RetryJob, request, *headers)
    return job


async def cancel(caller: Caller, job_id: str) -> Job:
    request = job_service_pb2.CancelJobRequest(job_id=job_id)
    job: Job = await caller.call(caller.jobs.CancelJob, request)
    return job


async def count_jobs(service: Running) -> int:
    async with service.database() as db:
        rows = await db.execute("select count(*) from jobs where kind = 'PROCESS'")
        row = await rows.fetchone()
    assert row is not None
    return int(row[0])


def reasons(results: list[Result]) -> list[int]:
    return [result.error.code for result in results]


async def test_a_repeated_key_returns_the_current_state_of_the_first_job(
    ann: Caller, bob: Caller
) -> None:
    media, other, key = await ann.store(jpeg()), await bob.store(jpeg()), new_id()
    first = await process(ann, media.media_id, "negate", request_id=key)
    again = await process(ann, media.media_id.upper(), "negate", request_id=key.upper())
    assert again == first
    await cancel(ann, first.job_id)
    now = await process(ann, media.media_id, "negate", request_id=key)
    assert (now.job_id, now.state) == (first.job_id, Job.CANCELLED)
    theirs = await process(bob, other.media_id, "negate", request_id=key)
    assert theirs.job_id != first.job_id


@pytest.mark.parametrize(
    "other", [{"ops": "blur:2"}, {"rendition_name": "mine"}, {"priority": Job.HIGH}]
)
async def test_a_key_with_other_content_is_a_conflict(
    ann: Caller, service: Running, other: dict[str, Any]
) -> None:
    media, key = await ann.store(jpeg()), new_id()
    fields: dict[str, Any] = {"media_id": media.media_id, "ops": "negate", "request_id": key}
    await ann.call(ann.processing.ProcessMedia, Request(**fields))
    refusal = await refused(ann.call(ann.processing.ProcessMedia, Request(**{**fields, **other})))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "IDEMPOTENCY_CONFLICT")
    assert await count_jobs(service) == 1


async def test_an_idempotency_key_header_works_like_the_field(ann: Caller) -> None:
    media = await ann.store(jpeg())
    first = await process(ann, media.media_id, "negate", (HEADER, "a key of mine"))
    assert await process(ann, media.media_id, "negate", (HEADER, "a key of mine")) == first
    other = await process(ann, media.media_id, "negate", (HEADER, "another key"))
    assert other.job_id != first.job_id
    refusal = await refused(
        process(ann, media.media_id, "negate", (HEADER, "x"), request_id=new_id())
    )
    assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", ["request_id"])


async def test_concurrent_calls_with_one_key_start_one_job(ann: Caller, service: Running) -> None:
    media, key = await ann.store(jpeg()), new_id()
    jobs = await asyncio.gather(
        *(process(ann, media.media_id, "negate", request_id=key) for _ in range(20))
    )
    assert len({job.job_id for job in jobs}) == 1
    assert await count_jobs(service) == 1


async def test_a_key_whose_first_call_still_runs_is_refused_after_a_while(start: Start) -> None:
    service = await start(database_timeout="1s")
    ann = await service.caller()
    media, key = await ann.store(jpeg()), new_id()
    request = Request(media_id=media.media_id, ops="negate", request_id=key)
    other = Request(media_id=media.media_id, ops="negate", request_id=new_id())
    first = await process(ann, media.media_id, "negate", request_id=key)
    async with service.database() as db, db.transaction():
        await db.execute("update idempotency_keys set expire_time = expire_time")
        for again in (
            ann.call(ann.processing.ProcessMedia, request),
            batch(ann, other, request),
        ):
            refusal = await refused(again)
            assert (refusal.code, refusal.reason) == (
                grpc.StatusCode.ABORTED,
                "IDEMPOTENCY_IN_PROGRESS",
            )
            assert "retry-after" in refusal.headers
    assert await process(ann, media.media_id, "negate", request_id=key) == first


async def test_a_refused_call_does_not_use_its_key(ann: Caller) -> None:
    media, key = await ann.store(jpeg()), new_id()
    for bad, reason in ((new_id(), "MEDIA_NOT_FOUND"), (media.media_id, "INVALID_OPERATIONS")):
        ops = "fly" if bad == media.media_id else "negate"
        assert (await refused(process(ann, bad, ops, request_id=key))).reason == reason
    job = await process(ann, media.media_id, "negate", request_id=key)
    assert job.state == Job.QUEUED


async def test_a_refused_request_of_a_batch_does_not_use_its_key(
    ann: Caller, service: Running
) -> None:
    media, one, two = await ann.store(jpeg()), new_id(), new_id()
    requests = [
        Request(media_id=media.media_id, ops="negate", request_id=one),
        Request(media_id=new_id(), ops="negate", request_id=two),
    ]
    refusal = await refused(batch(ann, *requests, atomic=True))
    assert refusal.reason == "MEDIA_NOT_FOUND"
    assert await count_jobs(service) == 0
    started, failed = await batch(ann, *requests)
    assert failed.error.code == grpc.StatusCode.NOT_FOUND.value[0]
    assert await process(ann, media.media_id, "negate", request_id=one) == started.job
    other = await process(ann, media.media_id, "negate", request_id=two)
    assert other.job_id != started.job.job_id


@pytest.mark.parametrize("atomic", [False, True])
async def test_each_request_of_a_batch_has_its_key(
    ann: Caller, service: Running, atomic: bool
) -> None:
    media, one, two = await ann.store(jpeg()), new_id(), new_id()
    first = await process(ann, media.media_id, "negate", request_id=one)
    requests = [
        Request(media_id=media.media_id, ops="negate", request_id=one),
        Request(media_id=media.media_id, ops="blur:1", request_id=two),
        Request(media_id=media.media_id, ops="blur:1", request_id=two),
        Request(media_id=media.media_id, ops="blur:1"),
        Request(media_id=media.media_id, ops="blur:1"),
    ]
    results = await batch(ann, *requests, atomic=atomic, key="of the batch")
    assert await batch(ann, *requests, atomic=atomic, key="of the batch") == results
    ids = [result.job.job_id for result in results]
    assert ids[0] == first.job_id
    assert ids[1] == ids[2]
    assert len(set(ids)) == 4
    assert await count_jobs(service) == 4
    changed = Request(media_id=media.media_id, ops="blur:9", request_id=two)
    if atomic:
        refusal = await refused(batch(ann, requests[3], changed, atomic=True))
        assert refusal.reason == "IDEMPOTENCY_CONFLICT"
    else:
        aborted = grpc.StatusCode.ABORTED.value[0]
        assert reasons(await batch(ann, requests[0], changed)) == [0, aborted]
    assert await count_jobs(service) == 4


async def test_batches_with_the_same_keys_in_another_order_do_not_block_each_other(
    ann: Caller, service: Running
) -> None:
    media = await ann.store(jpeg())
    requests = [
        Request(media_id=media.media_id, ops=f"blur:{n + 1}", request_id=new_id())
        for n in range(60)
    ]
    results = await asyncio.gather(
        *(batch(ann, *(requests if n % 2 else requests[::-1])) for n in range(6))
    )
    assert {len(each) for each in results} == {60}
    assert await count_jobs(service) == 60


async def test_a_job_is_retried_once_for_each_key(ann: Caller, bob: Caller) -> None:
    media, key = await ann.store(jpeg()), new_id()
    job_id = (await process(ann, media.media_id, "negate")).job_id
    assert (await refused(retry(ann, job_id, key=key))).reason == "JOB_NOT_RETRYABLE"
    await cancel(ann, job_id)
    assert (await retry(ann, job_id, key=key)).state == Job.QUEUED
    assert (await retry(ann, job_id, key=key)).state == Job.QUEUED, "the key was refused"
    await cancel(ann, job_id)
    assert (await retry(ann, job_id.upper(), key=key)).state == Job.CANCELLED
    assert (await retry(ann, job_id, (HEADER, "another"))).state == Job.QUEUED
    assert (await retry(ann, job_id, (HEADER, "another"))).state == Job.QUEUED
    other = await process(ann, media.media_id, "negate")
    await cancel(ann, other.job_id)
    assert (await refused(retry(ann, other.job_id, key=key))).reason == "IDEMPOTENCY_CONFLICT"
    assert (await refused(retry(bob, job_id, key=key))).reason == "JOB_NOT_FOUND"
    assert (await refused(retry(ann, job_id, key="x"))).reason == "INVALID_FIELD"


async def test_idempotency_keys_of_jobs_last_a_day(
    ann: Caller, service: Running, database: Database
) -> None:
    media, key = await ann.store(jpeg()), new_id()
    first = await process(ann, media.media_id, "negate", request_id=key)
    assert await changed_by(expire_keys(database)) == 0
    async with service.database() as db:
        await db.execute("update idempotency_keys set expire_time = now() - interval '1 s'")
    assert await changed_by(expire_keys(database)) == 1
    assert (await process(ann, media.media_id, "negate", request_id=key)).job_id != first.job_id


# Sizes of batches


async def test_a_batch_whose_jobs_do_not_fit_into_a_response_is_refused(
    ann: Caller, service: Running
) -> None:
    media = await ann.store(jpeg())
    # Short in a request; with defaults, four times as long in a response.
    ops = ",".join(["text:x"] * 32)
    requests = [Request(media_id=media.media_id, ops=ops, request_id=new_id())] * 1000
    for atomic in (False, True):
        refusal = await refused(batch(ann, *requests, atomic=atomic))
        assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", ["requests"])
        assert "Send fewer requests" in refusal.message
    assert await count_jobs(service) == 0


async def test_the_largest_batch_is_answered(service: Running) -> None:
    """A thousand jobs with long names, the maximum number of operations, and a result each."""
    caller = await service.caller("u" * 512, org="o" * 255)
    media = await caller.store(jpeg())
    ops, name = f"text:{'x' * 470},text:{'y' * 470}", "n" * 64
    fields: dict[str, Any] = {"media_id": media.media_id, "ops": ops, "rendition_name": name}
    await caller.call(caller.processing.ProcessMedia, Request(**fields))
    async with service.database() as db:
        await db.execute(
            "insert into renditions (media_id, name, blob_id, content_type, pipeline, version)"
            " select v.media_id, %s, v.blob_id, 'image/webp', j.pipeline, 1"
            " from media_versions v, jobs j where j.kind = 'PROCESS'",
            (name,),
        )
    requests = [Request(**fields, request_id=new_id()) for _ in range(1000)]
    results = await batch(caller, *requests, atomic=True)
    assert {result.job.rendition.name for result in results} == {name}
    response = processing_service_pb2.BatchProcessMediaResponse(results=results)
    pipelines = sum(Job(operations=each.job.operations).ByteSize() for each in results)
    assert 0.95 * MIB < pipelines < MIB
    assert response.ByteSize() < 3 * MIB
