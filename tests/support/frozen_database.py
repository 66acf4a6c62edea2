"""Callers of a service whose database is frozen: when calls are refused, and work again."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc
from mediaservice.v1 import media_service_pb2, media_service_pb2_grpc

from tests.support.rpc.server import refusal
from tests.support.silent_database import frozen
from tests.support.tools import NO_TLS

OK = "OK"
REFUSED = "DATABASE_UNAVAILABLE"
# As RetryInfo asks for.
PAUSE_SECONDS = 1.0
POLL_SECONDS = 0.05
CALL_SECONDS = 60.0

# Makes one call, and returns OK or the reason of the error.
Call = Callable[[], Awaitable[str]]


@dataclass
class Observation:
    """What callers saw, in seconds. `waits`: from each call to its end while the database was
    frozen. `not_serving`: until health reported it. `recovery`: from its release until all callers
    had a call that succeeded."""

    waits: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    not_serving: float = 0.0
    recovery: float = 0.0


async def open_callers(
    stack: AsyncExitStack, count: int, token: str, *, grpc_address: str, rest_url: str
) -> list[Call]:
    """Half of the callers use gRPC, each with a connection of its own. The others use REST, with a
    new connection for each call, like curl."""
    http = await stack.enter_async_context(
        httpx.AsyncClient(
            base_url=rest_url,
            headers={"authorization": f"Bearer {token}"},
            limits=httpx.Limits(max_keepalive_connections=0),
            timeout=CALL_SECONDS,
            trust_env=False,
            verify=NO_TLS,
        )
    )

    async def over_rest() -> str:
        try:
            answer = await http.get("/v1/media")
        except httpx.TransportError as error:
            return repr(error)
        return OK if answer.is_success else str(answer.json()["details"][0]["reason"])

    over_grpc = [await grpc_caller(stack, grpc_address, token) for _ in range(count // 2)]
    return [*over_grpc, *[over_rest] * (count - len(over_grpc))]


async def grpc_caller(stack: AsyncExitStack, address: str, token: str) -> Call:
    options = (("grpc.use_local_subchannel_pool", 1),)
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(address, options))
    media: Any = media_service_pb2_grpc.MediaServiceStub(channel)
    metadata = (("authorization", f"Bearer {token}"),)

    async def call() -> str:
        request = media_service_pb2.ListMediaRequest()
        try:
            await media.ListMedia(request, metadata=metadata, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            return refusal(error).reason or f"{error.code().name}: {error.details()}"
        return OK

    return call


async def freeze(
    postgres: str, grpc_address: str, callers: Sequence[Call], seconds: float
) -> Observation:
    """Freezes the PostgreSQL at `postgres` for at least `seconds`, until all calls have ended."""
    seen = Observation()
    await asyncio.gather(*map(until_ok, callers))  # opens the connections

    async def call_again_and_again(call: Call, until: float) -> None:
        while time.monotonic() < until:
            begun = time.monotonic()
            outcome = await call()
            seen.waits.append(time.monotonic() - begun)
            seen.outcomes[outcome] += 1
            await asyncio.sleep(PAUSE_SECONDS)

    with frozen(postgres):
        begun = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for call in callers:
                tasks.create_task(call_again_and_again(call, begun + seconds))
            await until_health(grpc_address, health_pb2.HealthCheckResponse.NOT_SERVING)
            seen.not_serving = time.monotonic() - begun
    begun = time.monotonic()
    await asyncio.gather(*map(until_ok, callers))
    seen.recovery = time.monotonic() - begun
    return seen


async def until_ok(call: Call) -> None:
    async with asyncio.timeout(CALL_SECONDS):
        while await call() != OK:
            await asyncio.sleep(POLL_SECONDS)


async def until_health(address: str, status: int) -> None:
    """Waits until the server at `address` reports this health."""
    async with asyncio.timeout(CALL_SECONDS), grpc.aio.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest()
        while (await health.Check(request, wait_for_ready=True)).status != status:
            await asyncio.sleep(POLL_SECONDS)
