"""Idempotency keys of uploads: repeating a call returns the first result, with no other effect."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mediaservice.v1 import media_pb2, upload_pb2, upload_service_pb2
from psycopg.sql import SQL, Identifier

from media_service.db.database import Database
from media_service.ids import new_id
from media_service.uploads.periodic_tasks import expire_keys
from tests.support.batches import changed_by
from tests.support.media.small_files import jpeg, png, video_bytes
from tests.support.rpc.server import Caller, Refusal, Running, Start, refusal, refused
from tests.support.rpc.sessions import abort, complete, write
from tests.support.rpc.streams_of_writes import MIB, Message, chunks

Upload = upload_pb2.Upload
Spec = upload_pb2.UploadSpec
Create = upload_service_pb2.CreateUploadRequest
UploadMedia = upload_service_pb2.UploadMediaRequest
HEADER = "idempotency-key"


async def create(caller: Caller, *headers: tuple[str, str], **request: Any) -> Upload:
    created: Upload = await caller.call(caller.uploads.CreateUpload, Create(**request), *headers)
    return created


def body(data: bytes, key: str, filename: str, size: int = 1 << 18) -> Iterator[UploadMedia]:
    message = UploadMedia(request_id=key, filename=filename)
    for at in range(0, len(data), size):
        message.body.data = data[at : at + size]
        yield message
        message = UploadMedia()


async def upload_media(
    caller: Caller, data: bytes, key: str = "", filename: str = "a.jpg", **options: Any
) -> media_pb2.Media:
    media: media_pb2.Media = await caller.stream(
        "UploadMedia", body(data, key, filename, **options)
    )
    return media


def keyed(key: str, data: bytes = b"", **spec: Any) -> Message:
    """A single message that creates an upload and finishes it."""
    return Message(spec=upload_pb2.UploadSpec(**spec), data=data, finish=True, request_id=key)


async def count(service: Running, table: str) -> int:
    async with service.database() as db:
        rows = await db.execute(SQL("select count(*) from {}").format(Identifier(table)))
        row = await rows.fetchone()
    assert row is not None
    return int(row[0])


async def outcome(call: Any) -> Any:
    try:
        return await call
    except grpc.RpcError as error:
        return refusal(error)


async def test_a_request_id_returns_the_upload_that_it_created(ann: Caller, bob: Caller) -> None:
    key = new_id()
    first = await create(ann, request_id=key, spec={"filename": "a.jpg"})
    again = await create(ann, request_id=key.upper(), spec={"filename": "a.jpg"})
    other = await create(bob, request_id=key, spec={"filename": "a.jpg"})
    assert first == again
    assert other.upload_id != first.upload_id


async def test_a_repeated_call_returns_the_current_state_of_the_upload(ann: Caller) -> None:
    key = new_id()
    upload = await create(ann, request_id=key, spec={})
    await write(ann, upload.upload_id, b"x" * 100)
    assert (await create(ann, request_id=key, spec={})).committed_size_bytes == 100
    await abort(ann, upload.upload_id)
    assert (await create(ann, request_id=key, spec={})).state == Upload.ABORTED


async def test_a_key_with_other_content_is_a_conflict(ann: Caller) -> None:
    key = new_id()
    await create(ann, request_id=key, spec={"filename": "a.jpg"})
    refusal = await refused(create(ann, request_id=key, spec={"filename": "b.jpg"}))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "IDEMPOTENCY_CONFLICT")
    assert refusal.headers["x-http-status"] == "409"


async def test_an_idempotency_key_header_works_like_the_field(ann: Caller) -> None:
    first = await create(ann, (HEADER, "any text, of mine"), spec={})
    assert await create(ann, (HEADER, "any text, of mine"), spec={}) == first
    assert (await create(ann, (HEADER, "another"), spec={})).upload_id != first.upload_id
    key = new_id()
    first = await create(ann, (HEADER, key), spec={})
    assert await create(ann, (HEADER, key.upper()), request_id=key, spec={}) == first


@pytest.mark.parametrize("text", ["", "x" * 256])
async def test_a_malformed_idempotency_key_header_is_refused(ann: Caller, text: str) -> None:
    refusal = await refused(create(ann, (HEADER, text), spec={}))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_HEADER")


async def test_the_idempotency_key_header_and_field_must_match(ann: Caller) -> None:
    refusal = await refused(create(ann, (HEADER, "other"), request_id=new_id(), spec={}))
    assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", ["request_id"])


async def test_a_stream_continues_the_upload_created_with_its_key(ann: Caller) -> None:
    key = new_id()
    upload = await create(ann, request_id=key, spec={})
    written = await ann.write([keyed(key, jpeg())])
    assert (written.upload_id, written.media_id) == (upload.upload_id, upload.media_id)
    assert written.state == Upload.FINISHED


async def test_keys_of_single_request_uploads_are_separate(ann: Caller) -> None:
    key = new_id()
    upload = await create(ann, request_id=key, spec={})
    stored = await upload_media(ann, jpeg(), key, filename="")
    assert stored.media_id != upload.media_id


async def test_each_request_of_a_batch_has_its_key(ann: Caller, service: Running) -> None:
    one, two = new_id(), new_id()
    first = await create(ann, request_id=one, spec={"filename": "a.jpg"})
    requests = [
        Create(request_id=one, spec=Spec(filename="a.jpg")),
        Create(request_id=one, spec=Spec(filename="b.jpg")),
        Create(request_id=two, spec=Spec()),
        Create(request_id=two, spec=Spec()),
        Create(spec=Spec()),
    ]
    request = upload_service_pb2.BatchCreateUploadsRequest(requests=requests)
    headers = (HEADER, "of the batch")
    seen = [
        (await ann.call(ann.uploads.BatchCreateUploads, request, headers)).results for _ in range(2)
    ]
    for results in seen:
        assert results[0].upload == first
        assert results[1].error.code == grpc.StatusCode.ABORTED.value[0]
        assert results[2].upload == results[3].upload
    assert seen[0] == seen[1]
    assert await count(service, "uploads") == 3
    request.atomic = True
    assert (await refused(ann.call(ann.uploads.BatchCreateUploads, request))).reason == (
        "IDEMPOTENCY_CONFLICT"
    )
    assert await count(service, "uploads") == 3


async def test_an_error_of_one_request_of_a_batch_does_not_fail_the_others(
    ann: Caller, service: Running
) -> None:
    running, gone = new_id(), new_id()
    for key in (running, gone):
        await create(ann, request_id=key, spec={})
    async with service.database() as db:
        await db.execute(
            "update idempotency_keys set lease_until = now() + interval '1 hour'"
            " where resource_id = (select upload_id from uploads order by upload_id limit 1)"
        )
        await db.execute(
            "delete from uploads where upload_id = (select max(upload_id::text)::uuid from uploads)"
        )
    requests = [
        Create(spec=Spec(media_id=new_id())),
        Create(request_id=running, spec=Spec()),
        Create(request_id=gone, spec=Spec()),
        Create(spec=Spec(filename="a.jpg")),
    ]
    request = upload_service_pb2.BatchCreateUploadsRequest(requests=requests)
    results = (await ann.call(ann.uploads.BatchCreateUploads, request)).results
    reasons = []
    for result in results[:-1]:
        info = error_details_pb2.ErrorInfo()
        result.error.details[0].Unpack(info)
        reasons.append(info.reason)
    assert reasons == ["MEDIA_NOT_FOUND", "IDEMPOTENCY_IN_PROGRESS", "UPLOAD_NOT_FOUND"]
    assert results[-1].upload.spec.filename == "a.jpg"
    request.atomic = True
    refusal = await refused(ann.call(ann.uploads.BatchCreateUploads, request))
    assert refusal.reason == "MEDIA_NOT_FOUND"


async def test_concurrent_equal_calls_create_one_upload(ann: Caller, service: Running) -> None:
    key = new_id()
    made = await asyncio.gather(*(create(ann, request_id=key, spec={}) for _ in range(20)))
    assert len({upload.upload_id for upload in made}) == 1
    assert await count(service, "uploads") == 1


async def test_a_key_whose_first_call_still_creates_its_upload_is_refused_after_a_while(
    start: Start,
) -> None:
    service = await start(database_timeout="1s")
    ann, key = await service.caller(), new_id()
    upload = await create(ann, request_id=key, spec={})
    async with service.database() as db, db.transaction():
        await db.execute("update idempotency_keys set expire_time = expire_time")
        refusal = await refused(create(ann, request_id=key, spec={}))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "IDEMPOTENCY_IN_PROGRESS")
    assert (await create(ann, request_id=key, spec={})).upload_id == upload.upload_id


@pytest.mark.parametrize("size", [100, 3 * MIB], ids=["in one step", "in a session"])
async def test_concurrent_equal_files_are_stored_once(
    ann: Caller, service: Running, size: int
) -> None:
    data, key = video_bytes(size), new_id()
    seen = await asyncio.gather(*(outcome(upload_media(ann, data, key)) for _ in range(8)))
    stored = [media for media in seen if isinstance(media, media_pb2.Media)]
    assert len({media.media_id for media in stored}) == 1
    refusals = [each for each in seen if isinstance(each, Refusal)]
    assert {each.reason for each in refusals} <= {"IDEMPOTENCY_IN_PROGRESS"}
    for each in refusals:
        assert (each.code, each.headers["retry-after"]) == (grpc.StatusCode.ABORTED, "1")
    assert (await upload_media(ann, data, key)).media_id == stored[0].media_id
    assert await count(service, "media") == await count(service, "uploads") == 1
    assert await ann.content(stored[0].media_id) == data


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["create", "write", "media"]), st.integers(0, 1)),
        min_size=2,
        max_size=12,
    )
)
async def test_concurrent_calls_with_one_key_have_one_effect(
    ann: Caller, service: Running, calls: list[tuple[str, int]]
) -> None:
    """Each call has one of two contents. Calls with the content of the first to arrive get its
    result. Keys are shared by uploads created by a call and by a stream."""
    key, before = new_id(), await count(service, "uploads")

    def start(method: str, content: int) -> Any:
        if method == "create":
            return create(ann, request_id=key, spec={"filename": f"{content}.jpg"})
        data = [jpeg(), png()][content]
        if method == "write":
            return ann.write([keyed(key, data)])
        return upload_media(ann, data, key)

    seen = await asyncio.gather(*(outcome(start(*call)) for call in calls))
    groups = {method == "media" for method, _ in calls}
    for group in groups:
        results = [
            result
            for (method, _), result in zip(calls, seen, strict=True)
            if (method == "media") is group
        ]
        made = {result.media_id for result in results if not isinstance(result, Refusal)}
        assert len(made) == 1
        reasons = {result.reason for result in results if isinstance(result, Refusal)}
        assert reasons <= {"IDEMPOTENCY_CONFLICT", "IDEMPOTENCY_IN_PROGRESS", "SUPERSEDED"}
    assert await count(service, "uploads") - before == len(groups)


async def test_other_bytes_under_a_key_are_a_conflict(ann: Caller, service: Running) -> None:
    data, key = video_bytes(2 * MIB), new_id()
    first = await upload_media(ann, data, key)
    for other in (data[:-1] + b"?", data[:-1], data + b"?", jpeg()):
        refusal = await refused(upload_media(ann, other, key))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "IDEMPOTENCY_CONFLICT")
    refusal = await refused(upload_media(ann, data, key, filename="other.jpg"))
    assert refusal.reason == "IDEMPOTENCY_CONFLICT"
    assert await upload_media(ann, data, key, size=1000) == first
    assert await count(service, "media") == 1


async def test_a_refused_file_frees_its_key(ann: Caller) -> None:
    key = new_id()
    assert (await refused(upload_media(ann, b"<html>", key))).reason == "TYPE_NOT_ALLOWED"
    page = b"<html>" + bytes(3 * MIB)
    assert (await refused(upload_media(ann, page, key))).reason == "TYPE_NOT_ALLOWED"
    media = await upload_media(ann, jpeg(), key)
    assert await ann.content(media.media_id) == jpeg()


async def test_a_disconnected_sender_frees_its_key(ann: Caller, service: Running) -> None:
    key, data = new_id(), video_bytes(3 * MIB)

    async def halt() -> AsyncIterator[UploadMedia]:
        for message in body(data[:-1], key, "a.jpg"):
            yield message
        await asyncio.Event().wait()

    call = ann.uploads.UploadMedia(halt(), metadata=ann.metadata)
    async with asyncio.timeout(20):
        while not await count(service, "uploads"):
            await asyncio.sleep(0.02)
    assert (await refused(upload_media(ann, data, key))).reason == "IDEMPOTENCY_IN_PROGRESS"
    call.cancel()
    async with asyncio.timeout(20):
        while await count(service, "idempotency_keys"):
            await asyncio.sleep(0.02)
    media = await upload_media(ann, data, key)
    assert await ann.content(media.media_id) == data
    assert await count(service, "media") == 1


async def test_a_key_of_a_dead_server_is_taken_over_and_its_late_call_has_no_effect(
    ann: Caller, service: Running
) -> None:
    """Simulates a server that loses its lease while it stores the file."""
    key, data = new_id(), video_bytes(3 * MIB)
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[UploadMedia]:
        for message in body(data[:-1], key, "a.jpg"):
            yield message
        await go_on.wait()
        last = UploadMedia()
        last.body.data = data[-1:]
        yield last

    first = asyncio.create_task(outcome(ann.call(ann.uploads.UploadMedia, slow())))
    async with asyncio.timeout(20):
        while not await count(service, "uploads"):
            await asyncio.sleep(0.02)
    async with service.database() as db:
        await db.execute("update idempotency_keys set lease_until = now() - interval '1 s'")
    media = await upload_media(ann, data, key)
    go_on.set()
    late = await first
    assert isinstance(late, Refusal)
    assert late.reason in {"IDEMPOTENCY_IN_PROGRESS", "UPLOAD_NOT_ACTIVE"}
    assert await count(service, "media") == 1
    # The first call has left nothing else.
    request = upload_service_pb2.ListUploadsRequest()
    states = [one.state for one in (await ann.call(ann.uploads.ListUploads, request)).uploads]
    assert states == [Upload.FINISHED, Upload.ABORTED]
    assert (await upload_media(ann, data, key)).media_id == media.media_id


async def test_a_repeated_key_of_a_purged_media_does_not_store_it_again(
    ann: Caller, service: Running
) -> None:
    key = new_id()
    media = await upload_media(ann, jpeg(), key)
    async with service.database() as db:
        await db.execute("delete from media where media_id = %s", (media.media_id,))
    assert (await refused(upload_media(ann, jpeg(), key))).reason == "MEDIA_NOT_FOUND"


async def test_a_stream_that_repeats_a_request_id_continues_the_upload(
    ann: Caller, service: Running
) -> None:
    data, key = video_bytes(5 * MIB), new_id()
    messages = chunks(data[: 3 * MIB], finish=False)
    messages[0].request_id = key
    begun = await ann.write(messages)
    again = chunks(data)
    again[0].request_id = key
    refusal = await refused(ann.write(again))
    assert (refusal.reason, refusal.metadata["upload_id"]) == ("OFFSET_MISMATCH", begun.upload_id)
    rest = chunks(data, start=3 * MIB)
    rest[0].request_id = key
    call = ann.uploads.WriteUpload(iter(rest), metadata=ann.metadata)
    assert ("x-upload-id", begun.upload_id) in tuple(await call.initial_metadata())
    done = await call
    assert (done.upload_id, done.state) == (begun.upload_id, Upload.FINISHED)
    assert await ann.content(done.media_id) == data
    # Once the upload is finished, the same stream returns it.
    assert await ann.write(again) == done
    assert await count(service, "uploads") == 1


async def test_a_file_in_one_message_is_stored_once_under_its_request_id(ann: Caller) -> None:
    key = new_id()
    first = await ann.write([keyed(key, jpeg(), filename="a.jpg")])
    assert await ann.write([keyed(key, jpeg(), filename="a.jpg")]) == first
    refusal = await refused(ann.write([keyed(key, png(), filename="a.jpg")]))
    assert refusal.reason == "IDEMPOTENCY_CONFLICT"
    refusal = await refused(ann.write([keyed(key, jpeg(), filename="b.jpg")]))
    assert refusal.reason == "IDEMPOTENCY_CONFLICT"


async def test_a_failed_stream_frees_its_key(ann: Caller) -> None:
    key = new_id()
    assert (await refused(ann.write([keyed(key, b"<html>")]))).reason == "TYPE_NOT_ALLOWED"
    assert (await ann.write([keyed(key, jpeg())])).state == Upload.FINISHED


async def test_keys_last_a_day_and_as_long_as_their_upload_is_unfinished(
    ann: Caller, service: Running, database: Database
) -> None:
    done, open_ = new_id(), new_id()
    finished = await create(ann, request_id=done, spec={})
    await write(ann, finished.upload_id, jpeg())
    await complete(ann, finished.upload_id)
    unfinished = await create(ann, request_id=open_, spec={})
    assert await changed_by(expire_keys(database)) == 0
    async with service.database() as db:
        rows = await db.execute("select min(expire_time - now()) from idempotency_keys")
        row = await rows.fetchone()
        assert row is not None
        assert 86000 < row[0].total_seconds() <= 86400
        await db.execute("update idempotency_keys set expire_time = now() - interval '1 s'")
    assert await changed_by(expire_keys(database)) == 1
    assert await create(ann, request_id=open_, spec={}) == unfinished
    assert (await create(ann, request_id=done, spec={})).upload_id != finished.upload_id


async def test_a_key_is_not_lost_when_the_server_stops(
    start: Start, service: Running, ann: Caller
) -> None:
    key = new_id()
    first = await upload_media(ann, jpeg(), key)
    again = await (await start()).caller()
    assert (await upload_media(again, jpeg(), key)).media_id == first.media_id
