"""`python -m tests.crash.starving --rounds 3`: one owner keeps the files coming that cost the most
for their size. Each must end with its reason within its limits, and the images of another owner
must become READY meanwhile."""

import argparse
import asyncio
import statistics
from contextlib import AsyncExitStack
from pathlib import Path

from click import echo

from tests.support.crash.deployment import new_deployment
from tests.support.crash.soak_program import TEMPLATE, Progress, run, soak_postgres
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
    progress = Progress()
    async with AsyncExitStack() as stack:
        service = Running(address, Path(), database_url, stack, {})
        ann, bob = await service.caller("ann"), await service.caller("bob")
        image = noise(1000, 1000)
        idle = [await seconds_until_ready(bob, image) for _ in range(5)]
        files = starving_files.refused_early() + starving_files.limited() + starving_files.slow()
        starving = Starving(ann, files, AT_ONCE, rounds)
        running = asyncio.create_task(starving.run())
        waits: list[float] = []
        while not running.done():
            waits.append(await seconds_until_ready(bob, image))
            progress.show(text_of(starving, rounds * len(files)))
            await asyncio.sleep(PAUSE_SECONDS)
        await running
    progress.end(text_of(starving, rounds * len(files)))
    echo(f"idle: READY after {statistics.median(idle):.2f} s")
    echo(f"meanwhile: READY after {statistics.median(waits):.2f} s, at most {max(waits):.2f} s")
    return starving.broken


def text_of(starving: Starving, files: int) -> str:
    return f"{starving.ended} of {files} files ended, {len(starving.broken)} not as they should"


def soak(rounds: int) -> list[str]:
    with (
        soak_postgres() as postgres,
        new_deployment(postgres, TEMPLATE, **PRESETS) as deployment,
    ):
        server = deployment.start("serve")
        deployment.start("work")
        return asyncio.run(starve(server.address, deployment.database_url, rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each file comes")
    rounds = parser.parse_args().rounds
    run(lambda: soak(rounds))


if __name__ == "__main__":
    main()
