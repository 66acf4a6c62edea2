"""Reads the request of a call, in a bounded time."""

import asyncio
from contextlib import ExitStack
from typing import Any, TypeAlias

import grpc

from media_service.access.fair_places import FairPlaces
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
        with ExitStack() as held:
            return await self._wait(context, owner, held)

    async def _wait(self, context: Context, owner: Owner, held: ExitStack) -> Any:
        loop = asyncio.get_running_loop()

        def give_up() -> None:
            if not limit.expired():  # it cannot be changed any more
                limit.reschedule(loop.time())

        def wait_longer() -> None:
            place = self._places.take(owner)
            if place is None:
                give_up()
            else:
                limit.reschedule(loop.time() + MESSAGE_SECONDS - PATIENCE_SECONDS)
                held.enter_context(place).on_evicted(give_up)

        try:
            async with asyncio.timeout(None) as limit:
                timer = loop.call_later(PATIENCE_SECONDS, wait_longer)
                try:
                    return await context.read()
                finally:
                    timer.cancel()
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineExceeded(
                Reason.STREAM_TOO_SLOW,
                f"A message of the call did not arrive in {MESSAGE_SECONDS:g} seconds, or too many"
                " calls wait for theirs. Send it with the call.",
            ) from None


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
