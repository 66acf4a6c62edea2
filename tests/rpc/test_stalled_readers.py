"""Clients that do not read hold little memory, and lose their streams."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any

import grpc
import pytest
from mediaservice.v1 import download_service_pb2, media_service_pb2, upload_service_pb2

from media_service.rpc import response_stream, running_calls
from media_service.storage.piece_size import LARGE, MAX_LARGE, SMALL, PieceSizes, bytes_of
from tests.support.http2 import DATA, HEADERS, RST_STREAM, Frame, Http2
from tests.support.media.small_files import video_bytes
from tests.support.rpc.server import Caller, Start, refused, token

DOWNLOAD = "mediaservice.v1.DownloadService/Download"
UNARY = ("mediaservice.v1.MediaService/ListMedia", "grpc.health.v1.Health/Check")
WINDOW = 64 << 10


def request(media_id: str) -> bytes:
    message = download_service_pb2.DownloadRequest(media_id=media_id).SerializeToString()
    return b"\0" + len(message).to_bytes(4) + message


def reset_of(connection: Http2, streams: set[int]) -> set[int]:
    """Which of the streams are reset within ten seconds."""
    reset = set()
    for frame in connection.frames(10):
        if frame.type == RST_STREAM:
            reset.add(frame.stream)
        if reset == streams:
            break
    return reset


async def test_a_reader_that_takes_nothing_loses_its_stream(start: Start) -> None:
    service = await start(stream_timeout="1s")
    ann = await service.caller("ann")
    media_id = (await ann.store_all(video_bytes(700_000))).media_id

    def stall() -> tuple[int, int]:
        """The bytes received without reading on, and in all."""
        with Http2(service.address, window=WINDOW) as connection:
            stream = connection.call(DOWNLOAD, {"authorization": f"Bearer {token('ann')}"})
            connection.data(stream, request(media_id), end=True)
            before = size_of(connection.frames(4))
            connection.widen(stream, 2 << 20)
            frames = []
            for frame in connection.frames():
                frames.append(frame)
                if frame.type == HEADERS:
                    break
            assert b"The client did not take" in frames[-1].payload
            return before, before + size_of(frames)

    # What was being sent arrives, and then the error.
    before, in_all = await asyncio.to_thread(stall)
    assert before == WINDOW
    assert in_all < 700_000


async def test_a_stream_that_is_not_read_is_reset_and_frees_its_place(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_stream, "MAX_STREAMS", 2)
    monkeypatch.setattr(response_stream, "RESET_SECONDS", 0.1)
    service = await start(stream_timeout="1s")
    ann, bob = await service.caller("ann"), await service.caller("bob")
    media_id = (await ann.store_all(video_bytes(150_000))).media_id
    downloads = [{"authorization": f"Bearer {token('ann')}"}] * 2

    def stall() -> tuple[set[int], set[int]]:
        """The streams of two clients that never read, and those that are reset."""
        with Http2(service.address, window=WINDOW) as connection:
            streams = {connection.call(DOWNLOAD, headers) for headers in downloads}
            for stream in streams:
                connection.data(stream, request(media_id), end=True)
            return streams, reset_of(connection, streams)

    stalled = asyncio.create_task(asyncio.to_thread(stall))
    while not stalled.done():  # the newest stream of a server is freed when the next call comes
        await asyncio.sleep(0.5)
        await bob.call(bob.media.ListMedia, media_service_pb2.ListMediaRequest())
    streams, reset = await stalled
    assert reset == streams
    for watching in [await watch(bob), await watch(bob)]:
        watching.cancel()


async def test_a_response_that_nobody_takes_is_reset(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_calls, "UNREAD_SECONDS", 0.2)
    monkeypatch.setattr(running_calls, "PAUSE_SECONDS", 0.1)
    service = await start()
    ann = await service.caller()
    headers = {"authorization": f"Bearer {token('ann')}"}

    def stall() -> tuple[set[int], set[int]]:
        """The streams of a client that never reads, and those that are reset."""
        with Http2(service.address, window=0) as connection:
            streams = {connection.call(method, headers) for method in UNARY}
            for stream in streams:
                connection.data(stream, bytes(5), end=True)
            return streams, reset_of(connection, streams)

    stalled = asyncio.create_task(asyncio.to_thread(stall))
    while not stalled.done():
        await asyncio.sleep(0.3)
        await ann.call(ann.media.ListMedia, media_service_pb2.ListMediaRequest())
    streams, reset = await stalled
    assert reset == streams


async def test_a_response_over_rest_is_cut_without_an_internal_error(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    service = await start(stream_timeout="1s")
    ann = await service.caller("ann")
    media_id = (await ann.store_all(video_bytes(150_000))).media_id
    headers = {
        "authorization": f"Bearer {token('ann')}",
        "x-envoy-original-method": "GET",
    }

    def stall() -> None:
        with Http2(service.address, window=WINDOW) as connection:
            stream = connection.call(DOWNLOAD, headers)
            connection.data(stream, request(media_id), end=True)
            assert size_of(connection.frames(2)) == WINDOW
            connection.widen(stream, 2 << 20)
            assert any(frame.type == HEADERS and frame.flags & 1 for frame in connection.frames(5))

    await asyncio.to_thread(stall)
    assert "an answer was cut off" in caplog.text
    assert "internal error" not in caplog.text


def size_of(frames: Iterable[Frame]) -> int:
    return sum(len(frame.payload) for frame in frames if frame.type == DATA)


async def test_a_slow_reader_receives_all(start: Start) -> None:
    """It takes more than the least in each window of time."""
    ann = await (await start(stream_timeout="1s")).caller()
    media_id = (await ann.store_all(video_bytes(3 << 20))).media_id
    call = ann.downloads.Download(
        download_service_pb2.DownloadRequest(media_id=media_id), metadata=ann.metadata
    )
    received = 0
    async for answer in call:
        received += len(answer.data)
        await asyncio.sleep(0.3)
    assert received == 3 << 20


async def test_places_for_responses_are_shared_among_callers(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_stream, "MAX_STREAMS", 2)
    service = await start()
    ann, bob = await service.caller("ann"), await service.caller("bob")
    older, newer = await watch(ann), await watch(ann)
    refusal = await refused(watch(ann))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SERVER_BUSY")
    assert refusal.metadata == {"max_streams": "2"}
    other = await watch(bob)
    assert (await refused(newer.read())).reason == "SERVER_BUSY"
    older.cancel()
    other.cancel()


async def watch(caller: Caller) -> Any:
    """A watch that has received the current state."""
    upload = await caller.create(filename="a.jpg")
    request = upload_service_pb2.WatchUploadRequest(upload_id=upload.upload_id)
    call = caller.uploads.WatchUpload(request, metadata=caller.metadata)
    state: Any = await call.read()
    assert state.upload_id == upload.upload_id
    return call


def test_few_readers_hold_large_pieces() -> None:
    sizes = PieceSizes()
    readers = [sizes.reader() for _ in range(MAX_LARGE + 10)]
    given = Counter(bytes_of(reader.__enter__()) for reader in readers)
    assert given == {LARGE: MAX_LARGE, SMALL: 10}
    readers[0].__exit__(None, None, None)
    with sizes.reader() as size:
        assert bytes_of(size) == LARGE
