"""Writes what collects in memory to the database, from time to time and at a clean stop."""

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Self


class PeriodicFlush(ABC):
    """An async context manager that flushes every so many seconds, and once more when it is left.
    A process that is killed loses what collected since the last flush."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._stopping = asyncio.Event()
        self._flushing: asyncio.Task[None] | None = None

    @abstractmethod
    async def _flush(self) -> None: ...

    async def __aenter__(self) -> Self:
        self._flushing = asyncio.create_task(self._flush_forever(), name=type(self).__name__)
        return self

    async def __aexit__(self, *_: object) -> None:
        # Do not cancel the task: nobody knows whether an interrupted flush was committed.
        self._stopping.set()
        if self._flushing:
            await self._flushing

    async def _flush_forever(self) -> None:
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._seconds)
            await self._flush()
