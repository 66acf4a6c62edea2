"""What callers send, while it is being stored.

The storing is a task of its own that is never cancelled: whatever happens to the caller, what is
begun is ended, and files are closed.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, Protocol, TypeVar

from media_service.errors import MediaError, Reason, Unavailable
from media_service.uploads.admission import Admission, Place
from media_service.uploads.model import Chunk

log = logging.getLogger(__name__)

T = TypeVar("T")


def shutting_down() -> Unavailable:
    return Unavailable(Reason.SHUTTING_DOWN, "The server is stopping; resume in a moment.")


class Incoming(Protocol):
    """The caller's side of what is stored."""

    async def feed(self, chunks: AsyncGenerator[Chunk, None]) -> None:
        """Takes chunks until they end, or until it ends itself. Raises nothing."""

    def interrupt(self, error: MediaError) -> None:
        """Ends it from outside; the storing gets to know the error."""


class Running:
    """All that is being stored by this process, for which `admission` has places."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._streams: dict[asyncio.Task[Any], Incoming | None] = {}
        self._closing = False

    def place(self) -> Place:
        """For one stream; to be asked for before anything is begun. Raises ResourceExhausted
        (SERVER_BUSY) if there is none, and Unavailable (SHUTTING_DOWN)."""
        if self._closing:
            raise shutting_down()
        return self._admission.stream()

    async def close(self) -> None:
        """Ends the running streams, as if their callers had gone, and waits for their storing."""
        self._closing = True
        while self._streams:  # one that was let in before may begin meanwhile
            for stream in self._streams.values():
                if stream is not None:
                    stream.interrupt(shutting_down())
            await asyncio.wait(self._streams)

    async def finish(self, place: Place, storing: Coroutine[Any, Any, T]) -> T:
        """Runs what has all it needs."""
        task = self._start(storing, None)
        place.until_done(task)
        return await asyncio.shield(task)

    async def to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs what must not stop halfway because its caller leaves, and stores nothing."""
        return await asyncio.shield(self._start(work, None))

    async def take_in(
        self,
        place: Place,
        stream: Incoming,
        storing: Coroutine[Any, Any, T],
        chunks: AsyncGenerator[Chunk, None],
    ) -> T:
        """Runs the storing of a stream, and feeds it, to the end of both."""
        task = self._start(storing, stream)
        place.until_done(task)
        feeding = asyncio.create_task(stream.feed(chunks))
        try:
            await asyncio.wait({task, feeding}, return_when=asyncio.FIRST_COMPLETED)
            return await asyncio.shield(task)
        finally:
            feeding.cancel()
            stream.interrupt(
                Unavailable(Reason.INCOMPLETE_BODY, "The stream broke off; resume it.")
            )
            await asyncio.wait([feeding])

    def _start(self, storing: Coroutine[Any, Any, T], stream: Incoming | None) -> asyncio.Task[T]:
        task = asyncio.create_task(storing)
        self._streams[task] = stream
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        del self._streams[task]
        if not task.cancelled() and (error := task.exception()):
            log.debug("storing ended: %s", error)
