"""Requests that do not arrive cost little, and end."""

import asyncio
import struct
from collections import Counter
from typing import Any

import grpc
import pytest
from mediaservice.v1 import media_service_pb2

from media_service.rpc import request_reader
from media_service.rpc.request_reader import MAX_WAITING
from media_service.rpc.server_options import (
    MAX_MESSAGE,
    MAX_METADATA,
    MAX_RECEIVED,
    MAX_RECEIVED_METADATA,
)
from tests.support.http2 import HEADERS, MAX_CONCURRENT_STREAMS, RST_STREAM, SETTINGS, Http2
from tests.support.rpc.server import Caller, Running, refused, token

INVALID = grpc.StatusCode.INVALID_ARGUMENT
LIST = "mediaservice.v1.MediaService/ListMedia"
# The beginning of a message of 2 MiB.
UNFINISHED = b"\0" + struct.pack(">I", 2 << 20) + bytes(1000)
CALLS = 200


def begin(connection: Http2, user: str = "", calls: int = CALLS, method: str = LIST) -> set[int]:
    """Starts calls whose messages never end."""
    headers = {"authorization": f"Bearer {token(user)}"} if user else {}
    streams = {connection.call(method, headers) for _ in range(calls)}
    for stream in streams:
        connection.data(stream, UNFINISHED)
    return streams


def ended(connection: Http2, count: int, seconds: float = 30) -> set[int]:
    """The first `count` streams that the server ends; fewer if it is silent for `seconds`."""
    found: set[int] = set()
    for frame in connection.frames(seconds):
        if frame.type == RST_STREAM or (frame.type == HEADERS and frame.flags & 1):
            found.add(frame.stream)
        if len(found) == count:
            break
    return found


async def test_a_call_without_a_token_is_refused_before_its_message(service: Running) -> None:
    def attack() -> bool:
        with Http2(service.address) as connection:
            return begin(connection) == ended(connection, CALLS)

    assert await asyncio.to_thread(attack)


async def test_few_calls_may_wait_for_their_messages_and_callers_share_them(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_reader, "PATIENCE_SECONDS", 0.1)

    def attack() -> None:
        with Http2(service.address) as connection:
            eve = begin(connection, "eve")
            assert len(ended(connection, CALLS, 1)) == CALLS - MAX_WAITING
            bob = begin(connection, "bob", calls=1)
            assert not ended(connection, 1) & bob
            assert eve

    await asyncio.to_thread(attack)


async def test_a_message_that_does_not_arrive_ends_the_call(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_reader, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(request_reader, "MESSAGE_SECONDS", 0.2)

    def attack() -> bool:
        with Http2(service.address) as connection:
            return begin(connection, "eve", calls=2) == ended(connection, 2)

    assert await asyncio.to_thread(attack)


async def test_streams_that_are_reset_at_once_are_refused_by_the_limit(
    service: Running, ann: Caller
) -> None:
    """A series of resets cannot start more calls than the connection may have at once."""

    def attack() -> tuple[int, Counter[int]]:
        with Http2(service.address) as connection:
            for _ in range(3000):
                connection.reset(connection.call(LIST))
            frames = list(connection.frames(1))
            (limit,) = [
                frame.settings[MAX_CONCURRENT_STREAMS]
                for frame in frames
                if frame.type == SETTINGS and MAX_CONCURRENT_STREAMS in frame.settings
            ]
            return limit, Counter(frame.type for frame in frames)

    limit, answers = await asyncio.to_thread(attack)
    assert limit == 256
    assert answers[RST_STREAM] > 2000
    assert (await ann.call(ann.media.ListMedia, media_service_pb2.ListMediaRequest())).media == []


async def test_a_message_that_is_not_valid_is_an_error_of_the_caller(ann: Caller) -> None:
    call: Any = ann.channel.unary_unary("/mediaservice.v1.MediaService/GetMedia")
    refusal = await refused(call(b"\x0a\x05a", metadata=ann.metadata))
    assert (refusal.code, refusal.reason) == (INVALID, "INVALID_REQUEST")


async def test_a_message_above_the_limit_has_a_reason(ann: Caller) -> None:
    call: Any = ann.channel.unary_unary(f"/{LIST}")
    upload: Any = ann.channel.stream_unary("/mediaservice.v1.UploadService/WriteUpload")
    for sent in (
        call(bytes(MAX_MESSAGE + 1), metadata=ann.metadata),
        upload(iter([bytes(MAX_MESSAGE + 1)]), metadata=ann.metadata),
    ):
        refusal = await refused(sent)
        assert (refusal.code, refusal.reason) == (INVALID, "INVALID_REQUEST")
        assert str(MAX_MESSAGE) in refusal.message
    with pytest.raises(grpc.RpcError) as caught:
        await call(bytes(MAX_RECEIVED + 1), metadata=ann.metadata)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_metadata_above_the_limit_has_a_reason(ann: Caller) -> None:
    call: Any = ann.channel.unary_unary(f"/{LIST}")
    for size in (MAX_METADATA, MAX_RECEIVED_METADATA - 4096):
        refusal = await refused(call(b"", metadata=(("large", "a" * size),)))
        assert (refusal.code, refusal.reason) == (INVALID, "INVALID_REQUEST")
        assert str(MAX_METADATA) in refusal.message
    with pytest.raises(grpc.RpcError) as caught:
        await call(b"", metadata=(("large", "a" * MAX_RECEIVED_METADATA),))
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_call_without_a_message_is_an_error_of_the_caller(ann: Caller) -> None:
    call: Any = ann.channel.stream_unary(f"/{LIST}")(iter(()), metadata=ann.metadata)
    assert (await refused(call)).reason == "INVALID_REQUEST"
