"""Runs the tasks that store the bytes callers send.

Each task is independent of its caller and is never cancelled. If the caller disconnects, the task
still ends in order and closes its files.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, Protocol, TypeVar

from media_service.access.fair_places import Place
from media_service.access.owner import Owner
from media_service.errors import MediaError, Reason, Unavailable, shutting_down
from media_service.uploads.admission import Admission
from media_service.uploads.load import SMALL_MESSAGE, Pace
from media_service.uploads.model import Chunk

log = logging.getLogger(__name__)

T = TypeVar("T")


class Incoming(Protocol):
    """The caller's side of a stream."""

    async def feed(self, chunks: AsyncGenerator[Chunk, None]) -> None:
        """Accepts chunks until they end or the stream is interrupted. Never raises."""

    def interrupt(self, error: MediaError) -> None:
        """Ends the stream from outside. The storing side raises the error."""


class StreamRunner:
    """Runs all storing tasks of this process. `admission` limits the number of streams."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._streams: dict[asyncio.Task[Any], Incoming | None] = {}
        self._closing = False

    def admit(self, owner: Owner) -> Place:
        """Admits one stream of an owner. Call it before any other work. Raises ResourceExhausted
        (SERVER_BUSY) and Unavailable (SHUTTING_DOWN)."""
        if self._closing:
            raise shutting_down()
        return self._admission.stream(owner)

    async def close(self) -> None:
        """Interrupts all streams, and waits until the received bytes are stored."""
        self._closing = True
        while self._streams:  # an admitted stream may start while we wait
            for stream in self._streams.values():
                if stream is not None:
                    stream.interrupt(shutting_down())
            await asyncio.wait(self._streams)

    async def finish(self, place: Place, storing: Coroutine[Any, Any, T]) -> T:
        """Stores bytes that have already been received in full. An eviction does not stop it."""
        task = self._start(storing, None)
        place.until_done(task)
        return await asyncio.shield(task)

    async def to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs work that must complete even if the caller disconnects."""
        return await asyncio.shield(self._start(work, None))

    async def receive_stream(
        self,
        place: Place,
        stream: Incoming,
        storing: Coroutine[Any, Any, T],
        chunks: AsyncGenerator[Chunk, None],
    ) -> T:
        """Runs both sides of a stream, feeding and storing, until both end."""
        task = self._start(storing, stream)
        place.until_done(task)
        place.on_evicted(lambda: stream.interrupt(self._admission.evicted()))
        feeding = asyncio.create_task(stream.feed(self._paced(place, chunks)))
        try:
            await asyncio.wait({task, feeding}, return_when=asyncio.FIRST_COMPLETED)
            return await asyncio.shield(task)
        finally:
            feeding.cancel()
            stream.interrupt(
                Unavailable(Reason.INCOMPLETE_BODY, "The stream was interrupted. Resume it.")
            )
            await asyncio.wait([feeding])

    async def _paced(
        self, place: Place, chunks: AsyncGenerator[Chunk, None]
    ) -> AsyncGenerator[Chunk, None]:
        pace = Pace()
        async with aclosing(chunks):
            async for chunk in chunks:
                small = len(chunk.data) < SMALL_MESSAGE
                yield chunk
                del chunk  # free its memory while waiting for the next one
                if small:
                    await self._admission.pace(place, pace)

    def _start(self, storing: Coroutine[Any, Any, T], stream: Incoming | None) -> asyncio.Task[T]:
        task = asyncio.create_task(storing)
        self._streams[task] = stream
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        del self._streams[task]
        if not task.cancelled() and (error := task.exception()):
            log.debug("storing ended: %s", error)
