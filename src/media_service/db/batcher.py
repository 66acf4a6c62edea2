"""Combines concurrent calls into one statement."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from media_service.errors import Unavailable

T = TypeVar("T")
R = TypeVar("R")

LIMIT = 200
# How long a batch waits for more items under load. Sharing saves many times as much.
LINGER_SECONDS = 0.005


class Batcher(Generic[T, R]):
    """Collects items while the work on earlier ones runs. A single caller does not wait; many
    callers share round trips and commits.

    `work` returns one result for each item, in order. If it fails, each half is tried again, so
    that one item cannot fail the others, nor delay them much. An outage fails all of them.
    """

    def __init__(self, work: Callable[[Sequence[T]], Awaitable[Sequence[R]]]) -> None:
        self._work = work
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._worker: asyncio.Task[None] | None = None
        self._loaded = False

    async def __call__(self, item: T) -> R:
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._worker is None:
            self._worker = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                if self._loaded:
                    await asyncio.sleep(LINGER_SECONDS)
                batch, self._waiting = self._waiting[:LIMIT], self._waiting[LIMIT:]
                await self._run_batch(batch)
                self._loaded = len(batch) > 1
        finally:
            self._worker = None

    async def _run_batch(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._work([item for item, _ in batch])
        except Exception as error:  # the callers get it
            if len(batch) > 1 and not isinstance(error, Unavailable):
                middle = len(batch) // 2
                await self._run_batch(batch[:middle])
                await self._run_batch(batch[middle:])
                return
            for _, future in batch:
                with contextlib.suppress(asyncio.InvalidStateError):
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            with contextlib.suppress(asyncio.InvalidStateError):  # the caller was cancelled
                future.set_result(result)
