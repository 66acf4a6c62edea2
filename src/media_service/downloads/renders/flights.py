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
    theirs; when the last has gone, the work is cancelled."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, Flight[T]] = {}

    async def join(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        flight = self._flights.get(key)
        if flight is None:
            flight = Flight(asyncio.ensure_future(self._run(key, work)))
            self._flights[key] = flight
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._forget(key, flight.task)
                flight.task.cancel()

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
