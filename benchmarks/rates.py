"""What a rate limit check costs: in the server's process, and over Valkey."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.measure import Bench
from benchmarks.report import Outcome, Row
from benchmarks.stack import await_port, find_program, free_ports
from media_service.rates.drivers.memory import MemoryRates
from media_service.rates.drivers.valkey import ValkeyRates
from media_service.rates.fallback import FallbackRates
from media_service.rates.limiter import RateLimiter
from media_service.rates.model import Limit, Rate
from media_service.rates.store import RateStore

CALLERS = 1000
CHECKS = 20_000
LIMIT = Limit("caller", Rate(10_000_000, 60))
MOST_IN_PROCESS, MOST_OVER_VALKEY = 20.0, 1000.0


async def median_us(store: RateStore, checks: int) -> float:
    """The median of a check, in microseconds."""
    limiter = RateLimiter(store, LIMIT, LIMIT)
    took = []
    for number in range(checks):
        start = time.perf_counter()
        await limiter.charge(limiter.caller, f"user:{number % CALLERS}", 1)
        took.append(time.perf_counter() - start)
    return statistics.median(took) * 1e6


@asynccontextmanager
async def over_valkey(program: str) -> AsyncIterator[RateStore]:
    (port,) = free_ports(1)
    where = ["--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(program, *where, stdout=quiet)
    try:
        await asyncio.to_thread(await_port, port)
        shared = ValkeyRates(f"redis://127.0.0.1:{port}/0")
        async with FallbackRates(shared, MemoryRates()) as store:
            yield store
            assert store.works
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def row(figure: str, measured: float, most: float) -> Row:
    return Row(
        figure=figure,
        unit="µs",
        target=1.0,
        at_most=True,
        measured=measured,
        limit=most,
        limit_name="requirement",
    )


async def rates(bench: Bench) -> Outcome:
    found = await median_us(MemoryRates(), CHECKS)
    rows = [row("rate limit check, in process", found, MOST_IN_PROCESS)]
    program = find_program("valkey-server") or find_program("redis-server")
    if program is None:
        return Outcome(rows, [], ["Rates over Valkey were not measured: it is not installed."])
    async with over_valkey(program) as store:
        found = await median_us(store, CHECKS // 4)
    return Outcome([*rows, row("rate limit check, over Valkey", found, MOST_OVER_VALKEY)])
