"""Work that several ask for at the same time, done once."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass
class Flight(Generic[T]):
    task: "asyncio.Task[T]"
    waiting: int = 0


class Flights(Generic[T]):
    """Who asks while the same is being worked on waits for that. Who goes away leaves the others
    theirs. Once the last has gone, the work has `linger` seconds to end, since it is nearly done as
    a rule, and the next one may ask for the same; then it is cancelled."""

    def __init__(self, linger: float) -> None:
        self._linger = linger
        self._flights: dict[Hashable, Flight[T]] = {}
        self._tasks: set[asyncio.Task[T]] = set()

    async def close(self) -> None:
        """Cancels what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def join(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        flight = self._flights.get(key)
        if flight is None:
            flight = Flight(asyncio.ensure_future(self._run(key, work)))
            self._tasks.add(flight.task)
            flight.task.add_done_callback(self._done)
            self._flights[key] = flight
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                loop = asyncio.get_running_loop()
                loop.call_later(self._linger, self._give_up, key, flight)

    def _give_up(self, key: Hashable, flight: Flight[T]) -> None:
        if not flight.waiting and not flight.task.done():
            self._forget(key, flight.task)
            flight.task.cancel()

    def _done(self, task: asyncio.Task[T]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may have waited to see it

    async def _run(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await work()
        finally:
            self._forget(key, asyncio.current_task())

    def _forget(self, key: Hashable, task: "asyncio.Task[Any] | None") -> None:
        """Who asks from now on begins anew; they may have done so already."""
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]
