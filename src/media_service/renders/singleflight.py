"""Singleflight: concurrent calls with the same key share one computation."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass
class Computation(Generic[T]):
    task: "asyncio.Task[T]"
    waiting: int = 0


class Singleflight(Generic[T]):
    """Shares computations between concurrent callers.

    If a caller is cancelled, the computation continues for the others. When the last caller is
    gone, the computation is cancelled after `linger_seconds`. The delay exists because the result
    is usually nearly done and may be requested again.
    """

    def __init__(self, linger_seconds: float) -> None:
        self._linger_seconds = linger_seconds
        self._computations: dict[Hashable, Computation[T]] = {}
        self._tasks: set[asyncio.Task[T]] = set()

    async def close(self) -> None:
        """Cancels all computations."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def run(self, key: Hashable, compute: Callable[[], Awaitable[T]]) -> T:
        computation = self._computations.get(key)
        if computation is None:
            computation = Computation(asyncio.ensure_future(self._run(key, compute)))
            self._tasks.add(computation.task)
            computation.task.add_done_callback(self._done)
            self._computations[key] = computation
        computation.waiting += 1
        try:
            return await asyncio.shield(computation.task)
        finally:
            computation.waiting -= 1
            if not computation.waiting and not computation.task.done():
                loop = asyncio.get_running_loop()
                loop.call_later(self._linger_seconds, self._abandon, key, computation)

    def _abandon(self, key: Hashable, computation: Computation[T]) -> None:
        if not computation.waiting and not computation.task.done():
            self._forget(key, computation.task)
            computation.task.cancel()

    def _done(self, task: asyncio.Task[T]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as retrieved: every caller may be gone

    async def _run(self, key: Hashable, compute: Callable[[], Awaitable[T]]) -> T:
        try:
            return await compute()
        finally:
            self._forget(key, asyncio.current_task())

    def _forget(self, key: Hashable, task: "asyncio.Task[Any] | None") -> None:
        """Removes the computation of `task`, so that later calls start a new one. The key may
        already belong to a new computation, which is kept."""
        computation = self._computations.get(key)
        if computation is not None and computation.task is task:
            del self._computations[key]
