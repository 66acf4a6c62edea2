"""The limit of concurrent streams: a stream beyond it is refused before any work is done."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from mediaservice.v1 import (
    credentials_service_pb2,
    media_service_pb2,
    upload_pb2,
    upload_service_pb2,
)

from media_service.uploads.load import FEW_STREAMS
from media_service_client import AsyncClient
from tests.support.media.small_files import jpeg, video_bytes
from tests.support.rpc.server import Caller, Running, Start, refusal, refused
from tests.support.rpc.streams_of_writes import chunks

Message = upload_service_pb2.WriteUploadRequest
ListUploads = upload_service_pb2.ListUploadsRequest
Upload = upload_pb2.Upload
KIB = 1 << 10
DATA = video_bytes(64 * KIB)


@dataclass(frozen=True)
class Held:
    """A stream that stays open."""

    call: Any
    upload_id: str

    async def end(self) -> Upload:
        await self.call.write(Message(offset=len(DATA) // 2, data=DATA[len(DATA) // 2 :]))
        await self.call.write(Message(offset=len(DATA), finish=True))
        await self.call.done_writing()
        done: Upload = await self.call
        return done


async def hold(caller: Caller) -> Held:
    """Starts an upload and returns once its first half is counted."""
    call = caller.uploads.WriteUpload(metadata=caller.metadata)
    first = Message(data=DATA[: len(DATA) // 2])
    first.spec.filename = "video.mp4"
    await call.write(first)
    initial = dict(await call.initial_metadata())
    return Held(call, str(initial["x-upload-id"]))


@pytest.fixture
async def two_at_once(start: Start) -> Running:
    return await start(max_streams="2")


async def test_a_stream_beyond_the_limit_is_refused_with_server_busy(two_at_once: Running) -> None:
    ann = await two_at_once.caller()
    first, second = await hold(ann), await hold(ann)
    for too_many in ([one_message()], chunks(DATA)):
        busy = await refused(ann.write(too_many))
        assert (busy.code, busy.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SERVER_BUSY")
        assert busy.metadata == {"max_streams": "2"}
        assert busy.headers["retry-after"] == "1"
    assert (await first.end()).state == Upload.FINISHED
    assert (await ann.write([one_message()])).state == Upload.FINISHED
    assert (await second.end()).state == Upload.FINISHED


async def test_another_caller_gets_a_place_of_the_caller_with_the_most(
    two_at_once: Running,
) -> None:
    ann, bob = await two_at_once.caller("ann"), await two_at_once.caller("bob")
    first, second = await hold(ann), await hold(ann)
    bobs = await hold(bob)
    evicted = await refused(second.call)
    assert (evicted.code, evicted.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SERVER_BUSY")
    assert evicted.headers["retry-after"] == "1"
    assert (await refused(ann.write([one_message()]))).reason == "SERVER_BUSY"
    assert (await bobs.end()).state == Upload.FINISHED
    half = len(DATA) // 2
    rest = Message(upload_id=second.upload_id, offset=half, data=DATA[half:], finish=True)
    resumed = await ann.write([rest])
    assert await ann.content(resumed.media_id) == DATA
    assert (await first.end()).state == Upload.FINISHED


async def test_each_caller_gets_its_share_of_the_places(start: Start) -> None:
    running = await start(max_streams="6")
    callers = [await running.caller(user) for user in ("ann", "bob", "eve")]
    held = [[await hold(callers[0]) for _ in range(6)], [], []]
    async with asyncio.timeout(20):
        for caller, own in zip(callers[1:], held[1:], strict=True):
            while len(own) < 2:  # a retry may be necessary until evicted streams have ended
                with suppress(grpc.RpcError):
                    own.append(await hold(caller))
        while [sum(not one.call.done() for one in own) for own in held] != [2, 2, 2]:
            with suppress(grpc.RpcError):
                held[2].append(await hold(callers[2]))
    for caller in callers:
        assert (await refused(caller.write([one_message()]))).reason == "SERVER_BUSY"
    for own in held:
        for one in own:
            if not one.call.done():
                assert (await one.end()).state == Upload.FINISHED


async def test_a_server_busy_error_has_a_retry_delay(two_at_once: Running) -> None:
    ann = await two_at_once.caller()
    held = [await hold(ann), await hold(ann)]
    with pytest.raises(grpc.RpcError) as caught:
        await ann.write([one_message()])
    status = rpc_status.from_call(caught.value)
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in status.details)
    assert retry.retry_delay.seconds == 1
    for stream in held:
        await stream.end()


async def test_a_refused_append_does_not_supersede_the_writer(start: Start) -> None:
    ann = await (await start(max_streams="1")).caller()
    held = await hold(ann)
    resumed = [Message(upload_id=held.upload_id, offset=len(DATA) // 2, data=b"other")]
    assert (await refused(ann.write(resumed))).reason == "SERVER_BUSY"
    upload = await held.end()
    assert upload.state == Upload.FINISHED
    assert await ann.content(upload.media_id) == DATA


async def test_a_broken_stream_frees_its_slot(start: Start) -> None:
    ann = await (await start(max_streams="1")).caller()
    for _ in range(3):
        held = await hold(ann)
        held.call.cancel()
        await until_taken(ann)


async def test_a_refused_stream_uses_no_slot(start: Start) -> None:
    ann = await (await start(max_streams="1")).caller()
    for _ in range(3):
        wrong = one_message()
        wrong.crc32c = 1
        assert (await refused(ann.write([wrong]))).reason == "CHECKSUM_MISMATCH"
        missing = Message(upload_id="0193e1a0-0000-7000-8000-000000000000", data=b"x")
        assert (await refused(ann.write([missing]))).reason == "UPLOAD_NOT_FOUND"
    assert (await ann.write([one_message()])).state == Upload.FINISHED


async def test_the_client_waits_for_a_free_slot(start: Start, tmp_path: Path) -> None:
    running = await start(max_streams="1")
    ann = await running.caller()
    held = await hold(ann)
    (tmp_path / "video.mp4").write_bytes(DATA)
    async with AsyncClient(running.address, token=ann.token) as client:
        waiting = asyncio.create_task(client.upload(tmp_path / "video.mp4"))
        assert not (await asyncio.wait({waiting}, timeout=1))[0]
        assert (await held.end()).state == Upload.FINISHED
        assert (await waiting).size_bytes == len(DATA)


async def test_an_overloaded_server_refuses_uploads_and_answers_reads(start: Start) -> None:
    ann = await (await start()).caller()
    media = (await ann.write([one_message()])).media
    held = [await hold(ann) for _ in range(FEW_STREAMS)]
    blocking = asyncio.create_task(block_the_loop())
    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    await ann.call(ann.uploads.WriteUpload, iter([one_message()]))
                except grpc.RpcError as error:
                    busy = refusal(error)
                    break
        request = media_service_pb2.GetMediaRequest(media_id=media.media_id)
        assert await ann.call(ann.media.GetMedia, request) == media
    finally:
        blocking.cancel()
        for stream in held:
            stream.call.cancel()
    assert (busy.code, busy.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SERVER_BUSY")
    assert busy.headers["retry-after"] == "1"
    await until_taken(ann)


async def test_a_server_that_records_bytes_late_refuses_uploads_and_answers_reads(
    start: Start,
) -> None:
    running = await start()
    ann = await running.caller()
    media = (await ann.write([one_message()])).media
    slow = await hold(ann)
    async with asyncio.timeout(30), running.database() as db, db.transaction():
        # The checkpoint of the stream waits for its row.
        await db.execute("select from uploads where upload_id = %s for update", (slow.upload_id,))
        await slow.call.write(Message(offset=len(DATA) // 2, data=DATA[len(DATA) // 2 : -1]))
        while True:
            try:
                await ann.call(ann.uploads.WriteUpload, iter([one_message()]))
            except grpc.RpcError as error:
                busy = error
                break
            await asyncio.sleep(0.05)
        for too_many in ([one_message()], chunks(DATA)):
            assert (await refused(ann.write(too_many))).reason == "SERVER_BUSY"
        request = media_service_pb2.GetMediaRequest(media_id=media.media_id)
        assert await ann.call(ann.media.GetMedia, request) == media
    assert refusal(busy).reason == "SERVER_BUSY"
    status, retry = rpc_status.from_call(busy), error_details_pb2.RetryInfo()
    assert status is not None
    assert any(detail.Unpack(retry) for detail in status.details)
    await slow.call.write(Message(offset=len(DATA) - 1, data=DATA[-1:], finish=True))
    await slow.call.done_writing()
    assert (await slow.call).state == Upload.FINISHED
    await until_taken(ann)


async def test_reads_do_not_wait_for_uploads_that_wait_for_the_database(start: Start) -> None:
    running = await start(database_pool_size="4")
    ann = await running.caller()
    media = (await ann.write([one_message()])).media
    async with running.database() as db:
        async with db.transaction():
            await db.execute("lock table uploads in share mode")  # no upload can change
            uploads = [asyncio.create_task(hold(ann)) for _ in range(20)]
            waiting = (
                "select count(*) > 1 from pg_locks where not granted and database ="
                " (select oid from pg_database where datname = current_database())"
            )
            while await (await db.execute(waiting)).fetchone() != (True,):
                await asyncio.sleep(0.02)
            request = media_service_pb2.GetMediaRequest(media_id=media.media_id)
            for _ in range(5):
                assert await ann.call(ann.media.GetMedia, request) == media
                await ann.call(ann.uploads.ListUploads, ListUploads())
            assert not any(upload.done() for upload in uploads)
        for upload in uploads:
            (await upload).call.cancel()


async def block_the_loop() -> None:
    """Keeps the event loop, which the server shares, from running for longer than a server may."""
    while True:
        time.sleep(0.105)
        await asyncio.sleep(0)


def one_message() -> Message:
    message = Message(data=jpeg(), finish=True)
    message.spec.filename = "photo.jpg"
    return message


async def until_taken(caller: Caller) -> None:
    """Stores a file as soon as a slot is free, retrying on SERVER_BUSY like a client."""
    async with asyncio.timeout(20):
        while True:
            try:
                assert (await caller.write([one_message()])).state == Upload.FINISHED
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # noqa: PT017
            else:
                return


async def test_an_owner_has_a_limited_number_of_unfinished_uploads(start: Start) -> None:
    service = await start(max_open_uploads="3")
    ann, bob = await service.caller("ann"), await service.caller("bob")
    first, *_ = [await ann.create(filename=f"{number}.jpg") for number in range(3)]
    refusal = await refused(ann.create(filename="4.jpg"))
    assert (refusal.reason, refusal.metadata) == ("UPLOAD_LIMIT_EXCEEDED", {"limit": "3"})
    assert refusal.headers["retry-after"] == "1"
    stream = [Message(data=jpeg()), Message(offset=len(jpeg()), finish=True)]
    stream[0].spec.filename = "5.jpg"
    assert (await refused(ann.write(stream))).reason == "UPLOAD_LIMIT_EXCEEDED"
    assert (await ann.store(jpeg())).media_id  # in one message, so that no upload stays open
    assert (await bob.create(filename="a.jpg")).upload_id
    abort = upload_service_pb2.AbortUploadRequest(upload_id=first.upload_id)
    await ann.call(ann.uploads.AbortUpload, abort)
    assert (await ann.create(filename="4.jpg")).upload_id
    spec = upload_pb2.UploadSpec(filename="b.jpg")
    many = [upload_service_pb2.CreateUploadRequest(spec=spec)] * 3
    batch = upload_service_pb2.BatchCreateUploadsRequest(requests=many)
    limited = await refused(bob.call(bob.uploads.BatchCreateUploads, batch))
    assert limited.reason == "UPLOAD_LIMIT_EXCEEDED"


async def test_the_limit_of_unfinished_uploads_holds_for_calls_at_once(start: Start) -> None:
    service = await start(max_open_uploads="3")
    callers = [await service.caller("ann") for _ in range(4)]

    async def create(caller: Caller) -> bool:
        try:
            await caller.create(filename="a.jpg")
        except grpc.RpcError:
            return False
        return True

    created = await asyncio.gather(*(create(callers[n % 4]) for n in range(24)))
    assert sum(created) == 3


async def test_service_accounts_share_the_unfinished_uploads_of_their_owner(start: Start) -> None:
    service = await start(max_open_uploads="3")
    ann = await service.caller("ann")
    for number in range(3):
        request = credentials_service_pb2.CreateServiceAccountRequest(display_name=str(number))
        account = await ann.call(ann.credentials.CreateServiceAccount, request)
        key = credentials_service_pb2.CreateApiKeyRequest(
            service_account_id=account.service_account_id
        )
        robot = await service.bearer((await ann.call(ann.credentials.CreateApiKey, key)).key)
        await robot.create(filename="a.jpg")
    for caller in (robot, ann):
        refusal = await refused(caller.create(filename="a.jpg"))
        assert refusal.reason == "UPLOAD_LIMIT_EXCEEDED"
