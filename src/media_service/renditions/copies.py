"""Originals as local files: of an object store one copy for all jobs of a worker that read it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Self

from media_service.blobs.model import Blob
from media_service.storage.blob_store import BlobStore

# A copy that nobody reads is kept for so long: the next chunk of the film is about to come.
KEPT_SECONDS = 30.0


class Copy:
    """A copy that is being made, or is there. `users`: who reads it or waits for it."""

    def __init__(self, store: BlobStore, blob: Blob) -> None:
        self.users = 0
        self.going: asyncio.TimerHandle | None = None
        self._opened = AsyncExitStack()
        self.made = asyncio.create_task(self._make(store, blob))

    async def _make(self, store: BlobStore, blob: Blob) -> Path:
        file = store.as_file(blob.key, blob.size_bytes)
        return await self._opened.enter_async_context(file)

    async def close(self) -> None:
        self.made.cancel()
        await asyncio.gather(self.made, return_exceptions=True)
        await self._opened.aclose()


class Copies:
    """An async context manager: leaving it removes them all."""

    def __init__(self, kept_seconds: float = KEPT_SECONDS) -> None:
        self._kept_seconds = kept_seconds
        self._copies: dict[str, Copy] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for key in list(self._copies):
            self._drop(key)
        await asyncio.gather(*self._closing, return_exceptions=True)

    @asynccontextmanager
    async def open(self, store: BlobStore, blob: Blob, *, keep: bool = True) -> AsyncIterator[Path]:
        """A blob as a file to read. `keep`: others may want it soon.

        Raises DataLoss (BLOB_MISSING), Unavailable (STORAGE_UNAVAILABLE).
        """
        if path := store.driver.local_path(blob.key):
            yield path
            return
        copy = self._copies.get(blob.key)
        if copy is None:
            copy = self._copies[blob.key] = Copy(store, blob)
        if copy.going:
            copy.going.cancel()
        copy.users += 1
        try:
            yield await asyncio.shield(copy.made)
        finally:
            copy.users -= 1
            if not copy.users:
                self._leave(blob.key, copy, keep=keep)

    def _leave(self, key: str, copy: Copy, *, keep: bool) -> None:
        """Nobody reads it any more. One that is not there yet, or never will be, goes at once; of
        those that do not, there is one at a time."""
        there = copy.made.done() and not copy.made.cancelled() and not copy.made.exception()
        if keep and there:
            for other in [k for k, c in self._copies.items() if not c.users and k != key]:
                self._drop(other)
            loop = asyncio.get_running_loop()
            copy.going = loop.call_later(self._kept_seconds, self._drop, key)
        else:
            self._drop(key)

    def _drop(self, key: str) -> None:
        copy = self._copies.pop(key, None)
        if copy is None:
            return
        if copy.going:
            copy.going.cancel()
        closing = asyncio.create_task(copy.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
