"""Servers and workers with MEDIA_JOBS_TRANSPORT=rabbitmq, whose broker is killed during traffic."""

import asyncio
import random
from contextlib import suppress

import grpc
import pytest
from mediaservice.v1 import (
    health_service_pb2,
    health_service_pb2_grpc,
    media_pb2,
    media_service_pb2,
)

from media_service.config import ConfigError
from media_service.rabbitmq import broker
from tests.support.long_form import LONG_FORM
from tests.support.media.small_files import jpeg
from tests.support.rpc.server import Caller, Running, Start
from tests.support.stores.rabbitmq_server import RabbitmqServer
from tests.support.tools import eventually_async

AWAY = ["BROKER_UNAVAILABLE"]
KILLS = 20 if LONG_FORM else 1


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "PAUSE_SECONDS", 0.05)


async def degraded(service: Running) -> list[str]:
    async with grpc.aio.insecure_channel(service.address) as channel:
        stub = health_service_pb2_grpc.HealthServiceStub(channel)
        health = await stub.CheckReadiness(health_service_pb2.CheckReadinessRequest())
    assert health.state == health_service_pb2.Health.SERVING
    return list(health.degraded)


async def ready(caller: Caller, media: media_pb2.Media) -> None:
    async def is_ready() -> bool:
        request = media_service_pb2.GetMediaRequest(media_id=media.media_id)
        found = await caller.call(caller.media.GetMedia, request)
        return bool(found.state == media_pb2.Media.READY)

    await eventually_async(is_ready)


async def reports(service: Running, expected: list[str]) -> None:
    async def as_expected() -> bool:
        return await degraded(service) == expected

    await eventually_async(as_expected)


async def test_jobs_run_while_the_broker_is_killed_and_started_again(
    start: Start, rabbitmq: RabbitmqServer, caplog: pytest.LogCaptureFixture
) -> None:
    server = await start(work=True, jobs_transport="rabbitmq", rabbitmq_url=rabbitmq.url)
    ann = await server.caller("ann")
    stored: list[media_pb2.Media] = []

    async def upload() -> None:
        while True:
            stored.append(await ann.store(jpeg(64 + len(stored))))
            await asyncio.sleep(0.1)

    assert await degraded(server) == []
    uploading = asyncio.create_task(upload())
    for _ in range(KILLS):
        await asyncio.sleep(random.uniform(0.2, 1))  # noqa: S311
        rabbitmq.kill()
        await reports(server, AWAY)
        await asyncio.to_thread(rabbitmq.start)
        await reports(server, [])
    uploading.cancel()
    with suppress(asyncio.CancelledError):
        await uploading
    for media in stored:
        await ready(ann, media)
    assert len(stored) > KILLS
    assert "the connection to the broker is lost" in caplog.text
    assert "the broker works again" in caplog.text
    assert "guest:guest" not in caplog.text


async def test_a_wrong_password_stops_the_start_without_being_told(
    start: Start, rabbitmq: RabbitmqServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = rabbitmq.url.replace("guest:guest", "guest:secret-word")
    with pytest.raises(ConfigError, match="MEDIA_RABBITMQ_URL: the broker refuses") as refusal:
        await start(jobs_transport="rabbitmq", rabbitmq_url=url)
    assert "secret-word" not in str(refusal.value) + caplog.text
