"""`python -m tests.crash.outage_soak`: outages for longer than tests wait, with the settings of
production. Freezes PostgreSQL under load, replaces servers again and again, and unmounts the disk
of the store again and again. Prints what callers saw, and fails if a promise of docs/health.md,
docs/design/database.md or docs/design/storage.md is broken."""

import argparse
import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from tests.support.crash.client import Attempt
from tests.support.crash.cluster import Cluster, Tally, cluster_on, roll_under_load
from tests.support.crash.deployment import new_deployment
from tests.support.crash.invariants import Broken, settle
from tests.support.crash.soak_program import TEMPLATE, Progress, run, soak_postgres
from tests.support.crash.vanishing_store import CannotMount, mounted, vanish
from tests.support.frozen_database import REFUSED, freeze, open_callers
from tests.support.rpc.server import token

CALLERS, LIMIT_SECONDS = 300, 10.0
USERS = 8


async def freeze_under_load(cluster: Cluster, postgres: str, seconds: float) -> list[str]:
    """Freezes PostgreSQL while callers call again and again. Returns what was wrong."""
    progress = Progress()
    progress.show(f"frozen database: {CALLERS} callers for {seconds:g} s")
    server = cluster.servers[0].address
    async with AsyncExitStack() as connections:
        callers = await open_callers(
            connections, CALLERS, token("ann"), grpc_address=server, rest_url=cluster.url
        )
        seen = await freeze(postgres, server, callers, seconds)
    found = ", ".join(f"{count} × {name}" for name, count in seen.outcomes.items())
    progress.end(
        f"frozen database: {CALLERS} callers, refused after {max(seen.waits):.1f} s at most,"
        f" {found}; NOT_SERVING after {seen.not_serving:.1f} s, calls work {seen.recovery:.1f} s"
        " after it was released"
    )
    if max(*seen.waits, seen.not_serving) > LIMIT_SECONDS or set(seen.outcomes) != {REFUSED}:
        return ["callers of a frozen database are not refused within ten seconds"]
    return []


async def roll(cluster: Cluster, rolls: int) -> list[str]:
    """Replaces all servers again and again. Returns what was wrong."""
    progress = Progress()

    def show(done: int, tally: Tally) -> None:
        calls = f"{len(tally.failures)} failures in {tally.calls} calls"
        progress.show(f"rolling restarts: {done} of {rolls}, {calls}")

    tally = await roll_under_load(cluster, rolls, USERS, show)
    progress.end(
        f"{rolls} rolling restarts: {len(tally.failures)} failures in {tally.calls} calls,"
        f" {tally.advised.total()} asked to repeat, {tally.resumed} event streams continued"
    )
    return tally.failures


def vanish_again_and_again(postgres: str, times: int) -> list[str]:
    """Unmounts the disk of the store of a running service. Returns what was wrong."""
    progress, broken, attempts = Progress(), list[Broken](), list[Attempt]()
    with (
        tempfile.TemporaryDirectory(prefix="media-soak-") as folder,
        mounted(Path(folder)) as disk,
        new_deployment(postgres, TEMPLATE, MEDIA_STORAGE_RAW_URL=disk.path.as_uri()) as deployment,
    ):
        server, worker = deployment.start("serve"), deployment.start("work")
        with deployment.client(server) as client:
            for number in range(times):
                progress.show(f"vanished store: {number} of {times}")
                attempts += vanish(deployment, client, disk)
        server.stop()
        worker.stop()
        settle(deployment, attempts, broken.append)
    progress.end(f"vanished store: {times} times, {len(attempts)} uploads, {len(broken)} broken")
    return [str(one) for one in broken]


def soak(seconds: float, rolls: int, vanishings: int) -> list[str]:
    with soak_postgres() as postgres:
        with (
            new_deployment(postgres, TEMPLATE, MEDIA_DRAIN_SECONDS="2") as deployment,
            cluster_on(deployment) as cluster,
        ):
            broken = asyncio.run(freeze_under_load(cluster, postgres, seconds))
            broken += asyncio.run(roll(cluster, rolls))
        try:
            broken += vanish_again_and_again(postgres, vanishings)
        except CannotMount as error:
            broken.append(f"no store vanished: {error}")
    return broken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=100, help="how long PostgreSQL is frozen")
    parser.add_argument("--rolls", type=int, default=10, help="how often all servers are replaced")
    parser.add_argument("--vanishings", type=int, default=25, help="how often the store vanishes")
    size = parser.parse_args()
    run(lambda: soak(size.seconds, size.rolls, size.vanishings))


if __name__ == "__main__":
    main()
