"""Servers share their rates in Valkey, and count alone while it does not work."""

import asyncio
from collections.abc import Iterator

import grpc
import pytest
from mediaservice.v1 import health_service_pb2, health_service_pb2_grpc, media_service_pb2

from media_service.rates import fallback
from tests.support.ports import free_port
from tests.support.rpc.server import Caller, Running, Start, refused, unknown_id
from tests.support.stores.valkey_server import ValkeyServer
from tests.support.tools import eventually_async

MISSING, SPENT = "MEDIA_NOT_FOUND", "RATE_LIMITED"
AWAY = ["RATE_STORE_UNAVAILABLE"]


@pytest.fixture
def own_valkey(monkeypatch: pytest.MonkeyPatch) -> Iterator[ValkeyServer]:
    monkeypatch.setattr(fallback, "PAUSE_SECONDS", 0.05)
    with ValkeyServer() as server:
        yield server


async def get(caller: Caller) -> str:
    request = media_service_pb2.GetMediaRequest(media_id=unknown_id())
    return (await refused(caller.call(caller.media.GetMedia, request))).reason


async def degraded(service: Running) -> list[str]:
    async with grpc.aio.insecure_channel(service.address) as channel:
        stub = health_service_pb2_grpc.HealthServiceStub(channel)
        health = await stub.CheckReadiness(health_service_pb2.CheckReadinessRequest())
    assert health.state == health_service_pb2.Health.SERVING
    return list(health.degraded)


async def test_servers_share_the_rate_of_a_caller(start: Start, own_valkey: ValkeyServer) -> None:
    servers = [await start(rate_store=own_valkey.url, rate_caller="4/h") for _ in range(2)]
    ann = [await server.caller("ann") for server in servers]
    assert [await get(ann[number % 2]) for number in range(6)] == [MISSING] * 4 + [SPENT] * 2
    assert [await degraded(server) for server in servers] == [[], []]


async def test_servers_count_alone_while_valkey_is_away(
    start: Start, own_valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    server = await start(rate_store=own_valkey.url, rate_caller="2/h")
    ann, bob = await server.caller("ann"), await server.caller("bob")
    assert [await get(ann) for _ in range(3)] == [MISSING] * 2 + [SPENT]
    own_valkey.stop()
    assert [await get(ann) for _ in range(3)] == [MISSING] * 2 + [SPENT]
    assert await degraded(server) == AWAY
    assert "this process counts alone" in caplog.text
    own_valkey.start()

    async def shared() -> bool:
        return await degraded(server) == []

    await eventually_async(shared)
    assert "the store of rates works again" in caplog.text
    assert [await get(bob) for _ in range(3)] == [MISSING] * 2 + [SPENT]


async def test_no_call_waits_for_a_valkey_that_is_silent(
    start: Start, own_valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await start(rate_store=own_valkey.url, rate_caller="1000/h")
    ann = await server.caller("ann")
    assert await get(ann) == MISSING
    own_valkey.freeze()
    assert set(await asyncio.gather(*(get(ann) for _ in range(50)))) == {MISSING}
    assert await degraded(server) == AWAY
    # From now on, waiting for it would end the test.
    monkeypatch.setattr(fallback, "ANSWER_SECONDS", 3600.0)
    async with asyncio.timeout(60):
        assert {await get(ann) for _ in range(20)} == {MISSING}


async def test_a_server_starts_without_valkey(start: Start) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    server = await start(rate_store=url, rate_caller="1/h")
    ann = await server.caller("ann")
    assert [await get(ann) for _ in range(2)] == [MISSING, SPENT]
    assert await degraded(server) == AWAY
