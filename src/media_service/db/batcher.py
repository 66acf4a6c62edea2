"""One statement for what many callers ask at the same time."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from media_service.errors import Unavailable

T = TypeVar("T")
R = TypeVar("R")

LIMIT = 200
# How long a crowd is given to gather. It comes back many times over in what it shares.
LINGER_SECONDS = 0.005


class Batcher(Generic[T, R]):
    """Gathers items while the work on earlier ones goes on. A lone caller waits for nobody; a crowd
    shares round trips and commits.

    `work` gives one result for each item, in order. If it fails, each item is tried alone, so that
    one item cannot spoil the others; an outage fails all of them.
    """

    def __init__(self, work: Callable[[Sequence[T]], Awaitable[Sequence[R]]]) -> None:
        self._work = work
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._worker: asyncio.Task[None] | None = None
        self._crowded = False

    async def __call__(self, item: T) -> R:
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._worker is None:
            self._worker = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                if self._crowded:
                    await asyncio.sleep(LINGER_SECONDS)
                batch, self._waiting = self._waiting[:LIMIT], self._waiting[LIMIT:]
                await self._run_batch(batch)
                self._crowded = len(batch) > 1
        finally:
            self._worker = None

    async def _run_batch(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._work([item for item, _ in batch])
        except Exception as error:  # it goes to whoever waits
            if len(batch) > 1 and not isinstance(error, Unavailable):
                for one in batch:
                    await self._run_batch([one])
                return
            for _, future in batch:
                with contextlib.suppress(asyncio.InvalidStateError):
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            with contextlib.suppress(asyncio.InvalidStateError):  # the caller has gone
                future.set_result(result)
