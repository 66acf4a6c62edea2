"""`python -m tests.crash.outage_soak`: outages for longer than tests wait, with the settings of
production. Freezes PostgreSQL under load, and replaces servers again and again. Prints what callers
saw, and fails if a promise of docs/health.md or docs/design/database.md is broken."""

import asyncio
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import psycopg
from click import echo
from mediaservice.v1 import media_service_pb2, media_service_pb2_grpc

from media_service.db.embedded_postgres import embedded_postgres
from media_service.db.migrate import migrate
from tests.support.crash.cluster import Cluster, cluster_on, is_ready, roll_under_load
from tests.support.crash.deployment import Deployment, new_deployment
from tests.support.databases import with_database
from tests.support.rpc.server import refusal, token
from tests.support.silent_database import frozen

CALLERS, FROZEN_SECONDS, TOLD_SECONDS = 300, 100.0, 10.0
ROLLS, USERS = 10, 8


async def freeze(deployment: Deployment, postgres: str) -> list[str]:
    """Freezes PostgreSQL while callers call again and again. Returns what was wrong."""
    server = deployment.start("serve")
    waits: list[float] = []
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    async with AsyncExitStack() as channels:
        callers = [await stub(server.address, channels) for _ in range(CALLERS)]
        metadata = (("authorization", f"Bearer {token('ann')}"),)
        request = media_service_pb2.ListMediaRequest()

        async def call(media: Any, until: float) -> None:
            while time.monotonic() < until:
                begun = time.monotonic()
                try:
                    await media.ListMedia(request, metadata=metadata, timeout=60)
                    outcome = "OK"
                except grpc.aio.AioRpcError as error:
                    outcome = refusal(error).reason
                waits.append(time.monotonic() - begun)
                outcomes[outcome] += 1
                await asyncio.sleep(1)

        with frozen(postgres):
            until = time.monotonic() + FROZEN_SECONDS
            await asyncio.gather(*(call(caller, until) for caller in callers))
        found = ", ".join(f"{count} × {name}" for name, count in outcomes.items())
        echo(f"frozen database: {CALLERS} callers, told after {max(waits):.1f} s at most, {found}")
        if max(waits) > TOLD_SECONDS or set(outcomes) != {"DATABASE_UNAVAILABLE"}:
            wrong.append("callers of a frozen database are not told within ten seconds")
        begun = time.monotonic()
        await is_ready(server.address)
        await callers[0].ListMedia(request, metadata=metadata, timeout=60)
        echo(f"  it answers again {time.monotonic() - begun:.1f} s after it was released")
    server.stop()
    return wrong


async def stub(address: str, channels: AsyncExitStack) -> Any:
    """A stub with a connection of its own."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    channel = grpc.aio.insecure_channel(address, options)
    return media_service_pb2_grpc.MediaServiceStub(await channels.enter_async_context(channel))


async def roll(cluster: Cluster) -> list[str]:
    """Replaces all servers again and again. Returns what was wrong."""
    tally = await roll_under_load(cluster, ROLLS, USERS)
    echo(
        f"{ROLLS} rolling restarts: {len(tally.failures)} failures in {tally.calls} calls,"
        f" {tally.advised.total()} asked to repeat, {tally.resumed} event streams continued"
    )
    return tally.failures


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="media-soak-") as folder,
        embedded_postgres(Path(folder) / "postgres") as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        connection.execute("create database soak")
        asyncio.run(migrate(with_database(url, "soak")))
        with new_deployment(url, "soak", MEDIA_DRAIN_SECONDS="2") as deployment:
            wrong = asyncio.run(freeze(deployment, url))
            with cluster_on(deployment) as cluster:
                wrong += asyncio.run(roll(cluster))
    for line in wrong:
        echo(f"BROKEN: {line}", err=True)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
