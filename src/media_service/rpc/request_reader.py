"""Reads the request of a call, in a bounded time."""

import asyncio
from contextlib import ExitStack
from typing import Any, TypeAlias

import grpc

from media_service.access.fair_places import FairPlaces
from media_service.access.owner import Owner
from media_service.errors import DeadlineExceeded, InvalidArgument, Reason

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

MESSAGE_SECONDS = 10.0
# A call that waits for longer than this takes one of the places.
PATIENCE_SECONDS = 1.0
MAX_WAITING = 64


class RequestReader:
    """gRPC keeps the bytes of a message that is not complete, up to the largest message for each
    call. So a message has to arrive in `MESSAGE_SECONDS`, and only `MAX_WAITING` calls may wait for
    a message that does not arrive at once. These places are shared fairly among callers."""

    def __init__(self) -> None:
        self._places = FairPlaces(MAX_WAITING)

    async def read(self, context: Context, owner: Owner) -> Any:
        """Returns the message of a call with a single one. Raises DeadlineExceeded
        (STREAM_TOO_SLOW), InvalidArgument (INVALID_REQUEST)."""
        with ExitStack() as held:
            message = await self._wait(context, owner, held)
        if message is grpc.aio.EOF:
            raise InvalidArgument(Reason.INVALID_REQUEST, "The call has no message. Send one.")
        return message

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
                f"The message of the call did not arrive in {MESSAGE_SECONDS:g} seconds, or too"
                " many calls wait for theirs. Send it with the call.",
            ) from None
