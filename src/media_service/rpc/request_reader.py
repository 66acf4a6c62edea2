"""Reads the request of a call, in a bounded time."""

import asyncio
from typing import Any, TypeAlias

import grpc

from media_service.access.fair_places import FairPlaces, Place
from media_service.access.owner import Owner
from media_service.errors import DeadlineExceeded, InvalidArgument, Reason
from media_service.rpc.server_options import MAX_METADATA

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

# What HTTP/2 counts for each entry of the metadata, besides its name and value.
ENTRY_BYTES = 32
MESSAGE_SECONDS = 10.0
# A call that waits for longer than this takes one of the places.
PATIENCE_SECONDS = 1.0
MAX_WAITING = 64


class RequestReader:
    """gRPC keeps the bytes of a message that is not complete, up to the largest message for each
    call. So a message has to arrive in `MESSAGE_SECONDS`, and only `max_waiting` calls may wait for
    a message that does not arrive at once. These places are shared fairly among callers."""

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self._places = FairPlaces(max_waiting)

    async def read(self, context: Context, owner: Owner) -> Any:
        """Returns the message of a call with a single one. Raises DeadlineExceeded
        (STREAM_TOO_SLOW), InvalidArgument (INVALID_REQUEST)."""
        message = await self.next(context, owner)
        if message is grpc.aio.EOF:
            raise InvalidArgument(Reason.INVALID_REQUEST, "The call has no message. Send one.")
        return message

    async def next(self, context: Context, owner: Owner) -> Any:
        """Returns the next message of a call, or EOF. Raises DeadlineExceeded (STREAM_TOO_SLOW)."""
        wait = Wait(self._places, owner)
        try:
            return await context.read()
        except asyncio.CancelledError:
            if not wait.given_up():
                raise
            raise DeadlineExceeded(
                Reason.STREAM_TOO_SLOW,
                f"A message of the call did not arrive in {MESSAGE_SECONDS:g} seconds, or too many"
                " calls wait for theirs. Send it with the call.",
            ) from None
        finally:
            wait.end()


class Wait:
    """The wait of the current task for a message. Almost every message arrives at once, so it
    begins as a single timer; `asyncio.timeout` would cost several times as much."""

    __slots__ = ("_gave_up", "_loop", "_owner", "_place", "_places", "_task", "_timer")

    def __init__(self, places: FairPlaces, owner: Owner) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(self._loop)
        self._places = places
        self._owner = owner
        self._place: Place | None = None
        self._gave_up = False
        self._timer = self._loop.call_later(PATIENCE_SECONDS, self._take_place)

    def _take_place(self) -> None:
        place = self._places.take(self._owner)
        if place is None:
            self._give_up()
            return
        self._place = place
        place.on_evicted(self._give_up)
        rest = MESSAGE_SECONDS - PATIENCE_SECONDS
        self._timer = self._loop.call_later(rest, self._give_up)

    def _give_up(self) -> None:
        if not self._gave_up and self._task is not None:
            self._gave_up = True
            self._task.cancel()

    def given_up(self) -> bool:
        """Whether the wait itself cancelled the task, and nobody else."""
        return self._gave_up and self._task is not None and self._task.uncancel() == 0

    def end(self) -> None:
        self._timer.cancel()
        if self._place is not None:
            self._place.end()


def check_metadata(context: Context) -> None:
    """Raises InvalidArgument (INVALID_REQUEST) if the call's metadata is too large."""
    metadata = context.invocation_metadata() or ()
    size = sum(len(key) + len(value) + ENTRY_BYTES for key, value in metadata)
    if size > MAX_METADATA:
        raise InvalidArgument(
            Reason.INVALID_REQUEST,
            f"The metadata of the call has {size} bytes, {ENTRY_BYTES} of them for each entry; the"
            f" limit is {MAX_METADATA}. Send less.",
        )
