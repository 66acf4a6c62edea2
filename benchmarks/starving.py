"""How long an image of one owner waits while another owner keeps the files coming that cost the
most for their size."""

import asyncio
import statistics
from datetime import timedelta

import grpc

from benchmarks.images import photo
from benchmarks.jobs import worker
from benchmarks.measure import Bench, say
from benchmarks.report import Outcome, Row
from media_service.cli.token_signing import sign
from media_service.config import load
from tests.support.media import starving_files
from tests.support.rpc.server import Caller
from tests.support.starving import Starving, seconds_until_ready

# The number of unfinished files.
AT_ONCE = 20
# The highest ratio of the time to that on an idle service.
TARGET = 3.0
# Between two images, which come at any moment of the other work.
PAUSE_SECONDS = 1.7


async def starving(bench: Bench) -> Outcome:
    count = 20 if bench.seconds > 5 else 3
    folder = bench.payload.path.parent
    image = photo(folder / "12mp.jpg", 4000, 3000).read_bytes()
    settings = bench.stack.settings
    config, secret = load(settings), settings["MEDIA_JWT_SECRET"]
    with worker(bench):
        async with grpc.aio.insecure_channel(bench.stack.grpc) as channel:
            ann, bob = (
                Caller(bench.stack.grpc, channel, sign(config, secret, user, timedelta(days=1)))
                for user in ("ann", "bob")
            )
            await seconds_until_ready(bob, image)  # starts the child processes
            idle = [await seconds_until_ready(bob, image) for _ in range(count)]
            files = starving_files.limited() + starving_files.slow()
            files += starving_files.refused_early()
            coming = Starving(ann, files, AT_ONCE)
            running = asyncio.create_task(coming.run())
            await asyncio.sleep(2 * bench.seconds)
            waits = []
            for _ in range(count):
                waits.append(await seconds_until_ready(bob, image))
                await asyncio.sleep(PAUSE_SECONDS)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    spread = f"median {statistics.median(waits):.2f} s, at most {max(waits):.2f} s of {count}"
    say(f"  idle {statistics.median(idle):.2f} s; starving {spread}; {coming.ended} files ended")
    return Outcome(
        [
            Row(
                figure=f"image of 12 MP READY while another owner keeps {AT_ONCE} files coming",
                unit="s",
                target=TARGET,
                at_most=True,
                measured=statistics.median(waits),
                limit=statistics.median(idle),
                limit_name="idle service",
            )
        ],
        [],
        [f"image READY beside {AT_ONCE} worst-case files of another owner: {spread}."],
    )
