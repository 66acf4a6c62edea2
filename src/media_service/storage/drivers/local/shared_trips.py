"""Runs many small blocking calls with few trips to a thread.

Handing a call to a thread and its result back costs more CPU time than a small write. When many
slow streams are stored at the same time, one trip makes the calls of several.
"""

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

# Calls of one trip. They run one after the other.
MOST_CALLS = 64
# Up to this many calls, a trip costs little time.
FEW_CALLS = 8

Waiting = tuple[Callable[[], Any], "asyncio.Future[Any]"]
Outcome = tuple[Any, BaseException | None]


class SharedTrips:
    """Makes at most `most` trips at a time. Calls of the same iteration of the event loop, and
    calls that wait for a trip, share the next ones."""

    def __init__(self, threads: ThreadPoolExecutor, most: int) -> None:
        self._threads = threads
        self._most = most
        self._trips = 0
        self._waiting: list[Waiting] = []
        self._scheduled = False

    async def run(self, call: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append((call, future))
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._start, loop)
        return await future

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._scheduled = False
        while self._waiting and self._trips < self._most:
            share = math.ceil(len(self._waiting) / (self._most - self._trips))
            count = min(max(share, FEW_CALLS), MOST_CALLS)
            batch, self._waiting = self._waiting[:count], self._waiting[count:]
            self._trips += 1
            trip = loop.run_in_executor(self._threads, run_all, [call for call, _ in batch])
            trip.add_done_callback(partial(self._ended, loop, batch))

    def _ended(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[Waiting],
        trip: "asyncio.Future[list[Outcome]]",
    ) -> None:
        self._trips -= 1
        for (_, future), (result, error) in zip(batch, trip.result(), strict=True):
            if future.done():  # the caller was cancelled
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        self._start(loop)


def run_all(calls: list[Callable[[], Any]]) -> list[Outcome]:
    """Runs every call, whether others fail or not."""
    return [outcome(call) for call in calls]


def outcome(call: Callable[[], Any]) -> Outcome:
    try:
        return call(), None
    except Exception as error:
        return None, error
