"""Health and reflection take no token, and what their calls hold is bounded."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from media_service.rpc import health, open_gate, reflection, request_reader
from tests.support.http2 import HEADERS, Http2
from tests.support.rpc.server import Refusal, Running, Start, refusal, refused

CHECK, WATCH = "grpc.health.v1.Health/Check", "grpc.health.v1.Health/Watch"
REFLECT = "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
# The beginning of a message of 2 MiB.
UNFINISHED = b"\0" + (2 << 20).to_bytes(4) + bytes(1000)
SERVING = health_pb2.HealthCheckResponse.SERVING
LIST_SERVICES = reflection_pb2.ServerReflectionRequest(list_services="")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_reader, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(request_reader, "MESSAGE_SECONDS", 0.5)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("method", [CHECK, WATCH, REFLECT])
async def test_unfinished_messages_end_and_block_no_others(service: Running, method: str) -> None:
    def attack() -> int:
        """How many calls end."""
        with Http2(service.address) as connection:
            streams = {connection.call(method) for _ in range(250)}
            for stream in streams:
                connection.data(stream, UNFINISHED)
            for frame in connection.frames(10):
                if frame.type == HEADERS and frame.flags & 1:
                    streams.remove(frame.stream)
                if not streams:
                    break
            return 250 - len(streams)

    attacking = asyncio.create_task(asyncio.to_thread(attack))
    async with grpc.aio.insecure_channel(service.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest())
    assert answer.status == SERVING
    assert await attacking == 250


@pytest.mark.usefixtures("impatient")
async def test_a_message_that_does_not_arrive_is_too_slow(service: Running) -> None:
    async with grpc.aio.insecure_channel(service.address) as channel:
        for method in (CHECK, WATCH, REFLECT):
            call: Any = channel.stream_stream(f"/{method}")
            assert (await failed(call())).reason == "STREAM_TOO_SLOW"


async def failed(call: Any) -> Refusal:
    """How a call ends whose messages nobody sends."""
    with pytest.raises(grpc.RpcError) as caught:
        async for _ in call:
            pass
    return refusal(caught.value)


async def test_few_streams_are_open_at_once_and_addresses_share_them(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_gate, "MAX_STREAMS", 2)
    service = await start()
    async with grpc.aio.insecure_channel(service.address) as channel:
        await check_shared(lambda address: watch(channel, address))
        await check_shared(lambda address: reflect(channel, address))


async def check_shared(open_stream: Callable[[str], Any]) -> None:
    """One address has both places, and gives one to another address."""
    streams = []
    for _ in range(2):
        streams.append(open_stream("192.0.2.1"))
        assert await streams[-1].read() is not grpc.aio.EOF
    busy = await refused(open_stream("192.0.2.1").read())
    assert (busy.code, busy.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SERVER_BUSY")
    other = open_stream("192.0.2.2")
    assert await other.read() is not grpc.aio.EOF
    assert (await refused(streams[1].read())).reason == "SERVER_BUSY"
    for stream in (streams[0], other):
        stream.cancel()


def watch(channel: grpc.aio.Channel, address: str) -> Any:
    stub = health_pb2_grpc.HealthStub(channel)
    return stub.Watch(health_pb2.HealthCheckRequest(), metadata=(("x-client-address", address),))


def reflect(channel: grpc.aio.Channel, address: str) -> Any:
    async def requests() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield LIST_SERVICES
        await asyncio.Event().wait()

    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    return stub.ServerReflectionInfo(requests(), metadata=(("x-client-address", address),))


async def test_streams_last_a_limited_time(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "WATCH_SECONDS", 0.2)
    monkeypatch.setattr(reflection, "STREAM_SECONDS", 0.2)
    async with grpc.aio.insecure_channel(service.address) as channel:
        assert [answer.status async for answer in watch(channel, "192.0.2.1")] == [SERVING]
        describing = reflect(channel, "192.0.2.1")
        assert await describing.read() is not grpc.aio.EOF
        assert (await refused(describing.read())).reason == "STREAM_TOO_SLOW"


async def test_long_names_are_refused(service: Running) -> None:
    name = "a" * open_gate.MAX_MESSAGE
    long = reflection_pb2.ServerReflectionRequest(file_by_filename=name)
    async with grpc.aio.insecure_channel(service.address) as channel:
        asked = health_pb2_grpc.HealthStub(channel)
        described = reflection_pb2_grpc.ServerReflectionStub(channel)
        for call in (
            asked.Check(health_pb2.HealthCheckRequest(service=name)),
            asked.Watch(health_pb2.HealthCheckRequest(service=name)).read(),
            described.ServerReflectionInfo(iter([long])).read(),
        ):
            assert (await refused(call)).reason == "INVALID_REQUEST"


async def test_an_unknown_service_has_no_health(service: Running) -> None:
    request = health_pb2.HealthCheckRequest(service="nobody")
    async with grpc.aio.insecure_channel(service.address) as channel:
        asked = health_pb2_grpc.HealthStub(channel)
        unknown = await refused(asked.Check(request))
        assert (unknown.code, unknown.reason) == (grpc.StatusCode.NOT_FOUND, "ROUTE_NOT_FOUND")
        watching = asked.Watch(request)
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watching.cancel()
