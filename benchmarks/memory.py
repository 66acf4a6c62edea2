"""Growth of the server's memory during a large upload and a large download."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass

import psutil

from benchmarks.measure import GIB, MIB, Bench, say
from benchmarks.report import Outcome, Row
from benchmarks.transfer import client

SAMPLE_SECONDS = 0.05
LIMIT = 64 * MIB


@dataclass
class Peak:
    """Resident memory in bytes."""

    before: int
    highest: int

    @property
    def growth(self) -> int:
        return self.highest - self.before


@contextlib.asynccontextmanager
async def watched(process: psutil.Process) -> AsyncIterator[Peak]:
    peak = Peak(before := process.memory_info().rss, before)

    def look() -> None:
        peak.highest = max(peak.highest, process.memory_info().rss)

    async def sample() -> None:
        while True:
            look()
            await asyncio.sleep(SAMPLE_SECONDS)

    sampling = asyncio.create_task(sample())
    try:
        yield peak
    finally:
        sampling.cancel()
        look()


async def growth(bench: Bench, name: str, transfer: Awaitable[object]) -> Row:
    async with watched(psutil.Process(bench.stack.pids["server"])) as peak:
        await transfer
    say(f"  {name}: {peak.before / MIB:.0f} MiB before, at most {peak.highest / MIB:.0f} MiB")
    return Row(
        figure=f"server memory growth, {bench.memory_bytes / GIB:g} GiB {name}",
        unit="MiB",
        target=1.0,
        at_most=True,
        measured=peak.growth / MIB,
        limit=LIMIT / MIB,
        limit_name="as asked for",
    )


async def memory(bench: Bench) -> Outcome:
    async with client(bench.stack) as to:
        size = bench.memory_bytes
        warm_up = await to.upload(bench.payload, bench.payload.size)
        await to.download(warm_up, bench.payload.size)
        media_id = ""

        async def upload() -> None:
            nonlocal media_id
            media_id = await to.upload(bench.payload, size)

        up = await growth(bench, "upload", upload())
        down = await growth(bench, "download", to.download(media_id, size))
    bench.stack.discard()
    return Outcome([up, down])
