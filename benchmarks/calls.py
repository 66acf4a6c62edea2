"""Many concurrent small reads: GetMedia, compared with an empty RPC of a bare server."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from mediaservice.v1 import media_service_pb2, media_service_pb2_grpc

from benchmarks.bare import EMPTY
from benchmarks.measure import Bench, take_turns
from benchmarks.report import Outcome, versus
from benchmarks.transfer import client

CALLERS = 50
SMALL = 100_000  # size of the requested media in bytes


async def at_once(
    callers: int, seconds: float, call: Callable[[], Awaitable[object]]
) -> list[float]:
    """Runs callers that call repeatedly. Returns the seconds that each call took."""
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def caller() -> None:
        while (start := time.perf_counter()) < end:
            await call()
            latencies.append(time.perf_counter() - start)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return latencies


class Latencies:
    """The latencies of the runs of one contender, in milliseconds."""

    def __init__(self) -> None:
        self._runs: list[list[float]] = []

    def add(self, seconds: list[float]) -> float:
        """Records the latencies of a run and returns their number."""
        self._runs.append([second * 1e3 for second in seconds])
        return len(seconds)

    def percentile(self, percent: int) -> float:
        """The median percentile of all runs except the warm-up."""
        return statistics.median(
            statistics.quantiles(run, n=100)[percent - 1] for run in self._runs[1:]
        )

    def __str__(self) -> str:
        return f"p50 {self.percentile(50):.1f} ms, p99 {self.percentile(99):.1f} ms"


async def calls(bench: Bench) -> Outcome:
    empty, full = Latencies(), Latencies()
    async with client(bench.stack) as to:
        media: Any = media_service_pb2_grpc.MediaServiceStub(to.service)
        media_id = await to.upload(bench.payload, SMALL)
        request = media_service_pb2.GetMediaRequest(media_id=media_id)
        bare: Any = to.bare.unary_unary(EMPTY)

        async def bare_calls() -> float:
            return empty.add(await at_once(CALLERS, bench.seconds, lambda: bare(b"")))

        async def get_media() -> float:
            def call() -> Awaitable[object]:
                answer: Awaitable[object] = media.GetMedia(request, metadata=to.metadata)
                return answer

            return full.add(await at_once(CALLERS, bench.seconds, call))

        found = await take_turns(
            bench,
            {"empty RPC, 50 callers": bare_calls, "GetMedia, 50 callers": get_media},
            unit=("/s", 1),
            cpu_unit=("ms/call", 1e3),
        )
    limit = found["empty RPC, 50 callers"]
    row = versus(
        "GetMedia, 50 concurrent callers", 0.35, found["GetMedia, 50 callers"], limit, limit
    )
    note = f"GetMedia: {full}; empty RPC: {empty}; {CALLERS} callers share one channel."
    return Outcome([row], list(found.values()), [note])
