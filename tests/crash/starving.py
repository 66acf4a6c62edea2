"""`python -m tests.crash.starving --rounds 3`: one owner keeps the files coming that cost the most
for their size. Each must end with its reason within its limits, and the images of another owner
must become READY meanwhile."""

import argparse
import asyncio
import statistics
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import psycopg

from media_service.db.embedded_postgres import embedded_postgres
from media_service.db.migrate import migrate
from tests.support.crash.deployment import new_deployment
from tests.support.databases import with_database
from tests.support.media import starving_files
from tests.support.media.small_files import noise
from tests.support.rpc.server import Running
from tests.support.starving import Starving, seconds_until_ready

PRESETS = {
    "MEDIA_WORKER_SLOTS": "2",
    "MEDIA_VIDEO_PRESETS": "poster=frame;storyboard=storyboard",
}
# The number of unfinished files.
AT_ONCE = 20
PAUSE_SECONDS = 1.0


async def starve(address: str, database_url: str, rounds: int) -> list[str]:
    """Returns what was broken."""
    async with AsyncExitStack() as stack:
        service = Running(address, Path(), database_url, stack, {})
        ann, bob = await service.caller("ann"), await service.caller("bob")
        image = noise(1000, 1000)
        idle = [await seconds_until_ready(bob, image) for _ in range(5)]
        files = starving_files.refused_early() + starving_files.limited() + starving_files.slow()
        starving = Starving(ann, files, AT_ONCE, rounds)
        running = asyncio.create_task(starving.run())
        waits = []
        while not running.done():
            waits.append(await seconds_until_ready(bob, image))
            await asyncio.sleep(PAUSE_SECONDS)
        await running
    print(f"{starving.ended} files ended, {len(starving.broken)} not as they should")
    print(f"idle: READY after {statistics.median(idle):.2f} s")
    print(f"meanwhile: READY after {statistics.median(waits):.2f} s, at most {max(waits):.2f} s")
    return starving.broken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each file comes")
    rounds = parser.parse_args().rounds
    with (
        tempfile.TemporaryDirectory(prefix="media-starving-") as folder,
        embedded_postgres(Path(folder) / "postgres") as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        connection.execute("create database starving")
        asyncio.run(migrate(with_database(url, "starving")))
        with new_deployment(url, "starving", **PRESETS) as deployment:
            server = deployment.start("serve")
            deployment.start("work")
            broken = asyncio.run(starve(server.address, deployment.database_url, rounds))
    for line in broken:
        print(f"BROKEN: {line}", file=sys.stderr)
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
