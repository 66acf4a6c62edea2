"""Local copies of blobs, shared by the jobs of a worker that read the same blob."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Self

from media_service.blobs.model import Blob
from media_service.storage.blob_store import BlobStore

# How long an unused copy is kept. The next chunk of the same video may start soon.
KEEP_SECONDS = 30.0


class LocalCopy:
    """A copy that is complete or being downloaded. `users` is the number of tasks that read it or
    wait for it."""

    def __init__(self, store: BlobStore, blob: Blob) -> None:
        self.users = 0
        self.removal: asyncio.TimerHandle | None = None
        self._stack = AsyncExitStack()
        self.download = asyncio.create_task(self._download(store, blob))

    async def _download(self, store: BlobStore, blob: Blob) -> Path:
        file = store.as_file(blob.key, blob.size_bytes)
        return await self._stack.enter_async_context(file)

    @property
    def complete(self) -> bool:
        done = self.download
        return done.done() and not done.cancelled() and not done.exception()

    async def close(self) -> None:
        self.download.cancel()
        await asyncio.gather(self.download, return_exceptions=True)
        await self._stack.aclose()


class LocalCopies:
    """Manages local copies. It is an async context manager: leaving it removes all copies."""

    def __init__(self, keep_seconds: float = KEEP_SECONDS) -> None:
        self._keep_seconds = keep_seconds
        self._copies: dict[str, LocalCopy] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for key in list(self._copies):
            self._remove(key)
        await asyncio.gather(*self._closing, return_exceptions=True)

    @asynccontextmanager
    async def open(self, store: BlobStore, blob: Blob, *, keep: bool = True) -> AsyncIterator[Path]:
        """Opens a blob as a readable file. Set `keep` if the blob may be opened again soon.
        Raises DataLoss (BLOB_MISSING), Unavailable (STORAGE_UNAVAILABLE).
        """
        if path := store.driver.local_path(blob.key):
            async with store.reading_file(blob.key, blob.size_bytes):
                yield path
            return
        copy = self._copies.get(blob.key)
        if copy is None:
            copy = self._copies[blob.key] = LocalCopy(store, blob)
        if copy.removal:
            copy.removal.cancel()
        copy.users += 1
        try:
            yield await asyncio.shield(copy.download)
        finally:
            copy.users -= 1
            if not copy.users:
                self._release(blob.key, copy, keep=keep)

    def _release(self, key: str, copy: LocalCopy, *, keep: bool) -> None:
        """Removes an unused copy, or keeps it for some time. A failed or incomplete copy is removed
        immediately. At most one unused copy is kept."""
        if keep and copy.complete:
            for other in [k for k, c in self._copies.items() if not c.users and k != key]:
                self._remove(other)
            loop = asyncio.get_running_loop()
            copy.removal = loop.call_later(self._keep_seconds, self._remove, key)
        else:
            self._remove(key)

    def _remove(self, key: str) -> None:
        copy = self._copies.pop(key, None)
        if copy is None:
            return
        if copy.removal:
            copy.removal.cancel()
        closing = asyncio.create_task(copy.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
