"""WriteUpload: the whole protocol over a real stream."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import grpc
import pytest
from crc32c import crc32c as crc32c_of
from mediaservice.v1 import upload_pb2, upload_service_pb2

from media_service.ids import new_id
from media_service.uploads.chunk_queue import ChunkQueue
from media_service.uploads.writer import BlobWriter
from tests.support.media.small_files import jpeg, video_bytes
from tests.support.rpc.server import Caller, Running, Start, refusal, refused
from tests.support.rpc.streams_of_writes import MIB, Message, chunks
from tests.support.stores.local_files import blob_files

Upload = upload_pb2.Upload


async def test_a_small_file_is_stored_in_one_message(ann: Caller) -> None:
    data = jpeg()
    message = Message(data=data, finish=True)
    message.spec.filename = "photo.jpg"
    upload = await ann.write([message])
    assert upload.state == Upload.FINISHED
    assert upload.committed_size_bytes == len(data)
    assert upload.media.media_id == upload.media_id != upload.upload_id
    assert upload.media.content_type == "image/jpeg"
    assert upload.media.size_bytes == len(data)
    assert upload.media.checksums.sha256 == hashlib.sha256(data).digest()
    assert upload.media.checksums.crc32c == crc32c_of(data)
    assert await ann.content(upload.media.media_id) == data


async def test_a_large_file_is_stored_in_many_messages(ann: Caller) -> None:
    data = video_bytes(40 * MIB)
    upload = await ann.write(chunks(data))
    assert upload.state == Upload.FINISHED
    assert upload.media.checksums.crc32c == crc32c_of(data)
    assert await ann.content(upload.media.media_id) == data


@pytest.mark.parametrize("declared", [None, 2 * MIB])
async def test_bytes_that_arrive_while_a_session_begins_are_stored(
    ann: Caller, monkeypatch: pytest.MonkeyPatch, declared: int | None
) -> None:
    """The session of a new upload begins when its first bytes have waited, and takes a while."""
    begins, received = asyncio.Event(), asyncio.Event()
    begin, end = BlobWriter.begin, ChunkQueue.end

    async def slow_begin(writer: BlobWriter) -> str:
        begins.set()
        await received.wait()
        return await begin(writer)

    def noticed_end(queue: ChunkQueue, error: BaseException | None = None) -> None:
        end(queue, error)
        received.set()

    monkeypatch.setattr(BlobWriter, "begin", slow_begin)
    monkeypatch.setattr(ChunkQueue, "end", noticed_end)
    data = video_bytes(2 * MIB)

    async def messages() -> AsyncIterator[Message]:
        first = Message(data=data[:MIB])
        first.spec.size_bytes = declared or 0
        if declared is None:
            first.spec.ClearField("size_bytes")
            first.spec.filename = "a.mp4"
        yield first
        await begins.wait()
        yield Message(offset=MIB, data=data[MIB:])
        yield Message(offset=2 * MIB, finish=True)

    upload = await ann.uploads.WriteUpload(messages(), metadata=ann.metadata)
    assert (upload.state, upload.committed_size_bytes) == (Upload.FINISHED, 2 * MIB)
    assert await ann.content(upload.media_id) == data


async def test_a_sha256_declared_up_front_is_checked_while_streaming(
    ann: Caller,
) -> None:
    data = video_bytes(5 * MIB)
    messages = chunks(data)
    messages[0].spec.checksums.sha256 = hashlib.sha256(data).digest()
    upload = await ann.write(messages)
    assert upload.state == Upload.FINISHED
    assert upload.media.checksums.sha256 == hashlib.sha256(data).digest()


async def test_a_stream_that_ends_without_finish_is_resumed_by_another(ann: Caller) -> None:
    data = video_bytes(5 * MIB)
    upload = await ann.create(filename="video.mp4", size_bytes=len(data))
    assert upload.committed_size_bytes == 0
    cut = 3 * MIB
    first = await ann.write(chunks(data[:cut], upload_id=upload.upload_id, finish=False))
    assert first.state == Upload.ACTIVE
    assert first.committed_size_bytes == cut
    second = await ann.write(chunks(data, upload_id=upload.upload_id, start=cut))
    assert second.state == Upload.FINISHED
    assert second.media.checksums.crc32c == crc32c_of(data)
    assert await ann.content(upload.media_id) == data


async def test_bytes_of_a_client_that_disconnects_are_kept(ann: Caller) -> None:
    data = video_bytes(6 * MIB)
    upload = await ann.create(size_bytes=len(data))
    sent = asyncio.Event()

    async def messages() -> AsyncIterator[Message]:
        for message in chunks(data[: 4 * MIB], upload_id=upload.upload_id, finish=False):
            yield message
        sent.set()
        await asyncio.Event().wait()

    call = ann.uploads.WriteUpload(messages(), metadata=ann.metadata)
    await sent.wait()
    await ann.until_upload(upload.upload_id, lambda u: u.committed_size_bytes > 0)
    call.cancel()
    kept = await ann.until_upload(upload.upload_id, lambda u: u.committed_size_bytes == 4 * MIB)
    rest = await ann.write(
        chunks(data, upload_id=upload.upload_id, start=kept.committed_size_bytes)
    )
    assert rest.media.checksums.crc32c == crc32c_of(data)
    assert await ann.content(upload.media_id) == data


async def test_an_upload_created_by_its_stream_can_be_resumed_by_id(ann: Caller) -> None:
    data = video_bytes(5 * MIB)
    messages = chunks(data[: 3 * MIB], finish=False)
    call = ann.uploads.WriteUpload(iter(messages), metadata=ann.metadata)
    upload_id = str(dict(await call.initial_metadata())["x-upload-id"])
    begun = await call
    assert (begun.upload_id, begun.committed_size_bytes) == (upload_id, 3 * MIB)
    done = await ann.write(chunks(data, upload_id=upload_id, start=3 * MIB))
    assert done.state == Upload.FINISHED
    assert await ann.uploaded(upload_id) == data


async def test_a_wrong_offset_is_refused_with_the_expected_offset(ann: Caller) -> None:
    data = video_bytes(2 * MIB)
    upload = await ann.create()
    await ann.write(chunks(data[:MIB], upload_id=upload.upload_id, finish=False))
    for offset in (0, MIB - 1, MIB + 1, 10 * MIB):
        message = Message(upload_id=upload.upload_id, offset=offset, data=b"x")
        refusal = await refused(ann.write([message]))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.OUT_OF_RANGE, "OFFSET_MISMATCH")
        assert refusal.metadata["committed_size_bytes"] == str(MIB)
        assert refusal.metadata["upload_id"] == upload.upload_id
        assert refusal.headers["upload-offset"] == str(MIB)
        assert refusal.headers["x-http-status"] == "409"
    assert (await ann.get_upload(upload.upload_id)).committed_size_bytes == MIB


async def test_a_gap_inside_a_stream_is_refused_and_earlier_bytes_are_kept(ann: Caller) -> None:
    upload = await ann.create()
    messages = [
        Message(upload_id=upload.upload_id, data=b"a" * 1000),
        Message(offset=1001, data=b"b"),
    ]
    refusal = await refused(ann.write(messages))
    assert refusal.reason == "OFFSET_MISMATCH"
    assert (await ann.get_upload(upload.upload_id)).committed_size_bytes == 1000


async def test_a_chunk_with_a_wrong_checksum_is_refused_and_committed_bytes_are_kept(
    ann: Caller,
) -> None:
    data = video_bytes(2 * MIB)
    upload = await ann.create()
    messages = chunks(data, upload_id=upload.upload_id)
    messages[3].crc32c ^= 1
    refusal = await refused(ann.write(messages))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CHECKSUM_MISMATCH")
    kept = (await ann.get_upload(upload.upload_id)).committed_size_bytes
    assert kept == 3 * (256 << 10)
    done = await ann.write(chunks(data, upload_id=upload.upload_id, start=kept))
    assert done.media.checksums.crc32c == crc32c_of(data)


async def test_a_message_above_two_mebibytes_is_refused(ann: Caller) -> None:
    refusal = await refused(
        ann.write([Message(spec=upload_pb2.UploadSpec(), data=bytes(2 * MIB + 1))])
    )
    assert refusal.reason == "CHUNK_TOO_LARGE"


async def test_the_first_message_must_name_the_upload(ann: Caller) -> None:
    for messages in ([Message(data=b"x")], []):
        refusal = await refused(ann.write(messages))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
        assert refusal.fields == ["target"]


async def test_a_second_writer_supersedes_the_first_at_once(ann: Caller) -> None:
    data = video_bytes(4 * MIB)
    upload = await ann.create(size_bytes=len(data))
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[Message]:
        for message in chunks(data[: 2 * MIB], upload_id=upload.upload_id, finish=False):
            yield message
        await go_on.wait()
        yield Message(offset=2 * MIB, data=b"late bytes" * 1000)

    first = ann.uploads.WriteUpload(slow(), metadata=ann.metadata)
    before = await ann.until_upload(upload.upload_id, lambda u: u.committed_size_bytes > 0)
    second = await ann.write(
        chunks(data, upload_id=upload.upload_id, start=before.committed_size_bytes)
    )
    go_on.set()
    refusal = await refused(first)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "SUPERSEDED")
    assert second.state == Upload.FINISHED
    assert await ann.content(upload.media_id) == data


async def test_late_bytes_of_a_superseded_writer_are_not_stored(ann: Caller) -> None:
    """The second writer only takes over and writes nothing; then the first one sends again."""
    upload = await ann.create()
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[Message]:
        yield Message(upload_id=upload.upload_id, data=b"first")
        await go_on.wait()
        yield Message(offset=5, data=b"late")

    first = ann.uploads.WriteUpload(slow(), metadata=ann.metadata)
    await ann.until_upload(upload.upload_id, lambda u: u.committed_size_bytes == 5)
    second = await ann.write([Message(upload_id=upload.upload_id, offset=5, data=b"second")])
    go_on.set()
    # gRPC's client may lose the reason if it writes when the call ends.
    with pytest.raises(grpc.RpcError):
        await first
    assert second.committed_size_bytes == 11
    assert (await ann.get_upload(upload.upload_id)).committed_size_bytes == 11


async def test_more_bytes_than_declared_are_refused(ann: Caller) -> None:
    upload = await ann.create(size_bytes=10)
    refusal = await refused(ann.write([Message(upload_id=upload.upload_id, data=b"x" * 11)]))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "SIZE_EXCEEDED")
    assert refusal.headers["x-http-status"] == "413"
    assert (await ann.get_upload(upload.upload_id)).committed_size_bytes == 0


async def test_an_upload_short_of_its_declared_size_does_not_finish_and_can_be_resumed(
    ann: Caller,
) -> None:
    data = jpeg()
    upload = await ann.create(size_bytes=len(data))
    half = Message(upload_id=upload.upload_id, data=data[:100], finish=True)
    refusal = await refused(ann.write([half]))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "UPLOAD_INCOMPLETE",
    )
    assert refusal.metadata["committed_size_bytes"] == "100"
    rest = Message(upload_id=upload.upload_id, offset=100, data=data[100:], finish=True)
    assert (await ann.write([rest])).state == Upload.FINISHED


async def test_a_short_upload_created_by_its_stream_can_be_resumed(
    ann: Caller,
) -> None:
    data, key = jpeg(), new_id()
    half = Message(data=data[:100], finish=True, request_id=key)
    half.spec.size_bytes = len(data)
    assert (await refused(ann.write([half]))).reason == "UPLOAD_INCOMPLETE"
    rest = Message(offset=100, data=data[100:], finish=True, request_id=key)
    rest.spec.size_bytes = len(data)
    done = await ann.write([rest])
    assert done.state == Upload.FINISHED
    assert await ann.content(done.media_id) == data


async def test_a_file_above_the_limit_is_refused_up_front_and_while_streaming(start: Start) -> None:
    service = await start(max_upload_size="1MiB")
    ann = await service.caller()
    refusal = await refused(ann.create(size_bytes=MIB + 1))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FILE_TOO_LARGE")
    refusal = await refused(ann.write(chunks(video_bytes(2 * MIB))))
    assert refusal.reason == "FILE_TOO_LARGE"
    assert refusal.headers["x-http-status"] == "413"


@pytest.mark.parametrize("size", [jpeg().__len__(), 3 * MIB])
async def test_a_declared_checksum_that_differs_fails_the_upload(ann: Caller, size: int) -> None:
    data = jpeg() if size < MIB else video_bytes(size)
    wrong = upload_pb2.UploadSpec()
    wrong.checksums.sha256 = hashlib.sha256(b"other").digest()
    messages = chunks(data)
    messages[0].spec.CopyFrom(wrong)
    refusal = await refused(ann.write(messages))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CHECKSUM_MISMATCH")
    messages = chunks(data)
    messages[-1].checksums.crc32c = crc32c_of(data) ^ 1
    assert (await refused(ann.write(messages))).reason == "CHECKSUM_MISMATCH"


async def test_checksums_that_contradict_each_other_are_refused(ann: Caller) -> None:
    message = Message(data=jpeg(), finish=True)
    message.spec.checksums.crc32c = 1
    message.checksums.crc32c = 2
    assert (await refused(ann.write([message]))).reason == "CHECKSUM_MISMATCH"


async def test_another_owners_upload_does_not_exist(ann: Caller, bob: Caller) -> None:
    upload = await ann.create()
    message = Message(upload_id=upload.upload_id, data=b"x")
    refusal = await refused(bob.write([message]))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "UPLOAD_NOT_FOUND")
    assert (await refused(bob.get_upload(upload.upload_id))).reason == "UPLOAD_NOT_FOUND"
    assert (await ann.get_upload(upload.upload_id)).committed_size_bytes == 0


async def test_a_finished_upload_accepts_no_more_bytes(ann: Caller) -> None:
    message = Message(data=jpeg(), finish=True)
    message.spec.SetInParent()
    upload = await ann.write([message])
    refusal = await refused(ann.write([Message(upload_id=upload.upload_id, data=b"x")]))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "UPLOAD_NOT_ACTIVE",
    )
    assert refusal.metadata["state"] == "FINISHED"


async def test_aborting_an_upload_ends_its_stream(ann: Caller) -> None:
    upload = await ann.create()
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[Message]:
        yield Message(upload_id=upload.upload_id, data=b"first")
        await go_on.wait()

    call = ann.uploads.WriteUpload(slow(), metadata=ann.metadata)
    await ann.until_upload(upload.upload_id, lambda u: u.committed_size_bytes == 5)
    request = upload_service_pb2.AbortUploadRequest(upload_id=upload.upload_id)
    await ann.call(ann.uploads.AbortUpload, request)
    assert (await refused(call)).reason == "UPLOAD_NOT_ACTIVE"
    go_on.set()


async def test_a_too_slow_client_is_disconnected_and_can_resume(start: Start) -> None:
    service = await start(stream_timeout="1s")
    ann = await service.caller()
    upload = await ann.create()

    async def trickle() -> AsyncIterator[Message]:
        yield Message(upload_id=upload.upload_id, data=b"0")
        await asyncio.Event().wait()

    refusal = await refused(ann.uploads.WriteUpload(trickle(), metadata=ann.metadata))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "STREAM_TOO_SLOW")
    assert refusal.headers["x-http-status"] == "408"
    assert (await ann.get_upload(upload.upload_id)).committed_size_bytes == 1


async def test_bytes_of_open_streams_are_kept_when_the_server_stops(
    service: Running, ann: Caller, start: Start
) -> None:
    upload = await ann.create()
    await ann.write([Message(upload_id=upload.upload_id, data=b"x" * 5000)])
    again = await (await start()).caller()
    assert (await again.get_upload(upload.upload_id)).committed_size_bytes == 5000


async def test_a_broken_stream_leaves_no_open_files_behind(ann: Caller, service: Running) -> None:
    message = Message(data=b"not an image", finish=True)
    message.spec.filename = "a.jpg"
    with pytest.raises(grpc.RpcError) as caught:
        await ann.write([message])
    assert refusal(caught.value).reason == "TYPE_NOT_ALLOWED"
    assert blob_files(service.data_dir / "raw") == []
