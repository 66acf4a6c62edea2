"""Bounds the calls that stream their responses: how many there are, how long a client may take
nothing, and how much of the event loop's time they take from other calls."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeAlias

import grpc

from media_service.access.fair_places import FairPlaces
from media_service.errors import (
    DeadlineExceeded,
    MediaError,
    Reason,
    ResourceExhausted,
    Unauthenticated,
)
from media_service.rpc import http
from media_service.rpc.caller import charged
from media_service.rpc.pacing import Pacer
from media_service.rpc.stream_reset import reset_later

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = Callable[[Any, Any], Awaitable[None]]

# Of a server process. Each holds a few pieces of its content in memory.
MAX_STREAMS = 4000
# A larger message may take longer, in proportion.
BYTES_PER_TIMEOUT = 128 << 10
# A stream that ends with an error is reset if the client does not take the error in this time.
RESET_SECONDS = 10.0
# Over REST, a slow client may still have to take what Envoy holds. Envoy resets a stream that does
# not move, earlier than this.
REST_RESET_SECONDS = 1800.0


class StreamEnded(Exception):
    """The client takes nothing. Handlers do not catch it."""

    def __init__(self, error: MediaError) -> None:
        super().__init__(error.message)
        self.error = error


class ResponseStream:
    """The context of a call that streams its response. `write` raises StreamEnded
    (STREAM_TOO_SLOW) if the client does not take the message in time."""

    def __init__(self, context: Context, timeout: float, pacer: Pacer) -> None:
        self._context = context
        self._timeout = timeout
        self._pacer = pacer
        self.begun = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def send_initial_metadata(self, metadata: Any) -> None:
        self.begun = True
        await self._context.send_initial_metadata(metadata)

    async def write(self, message: Any) -> None:
        self.begun = True
        size = len(message) if type(message) is bytes else message.ByteSize()
        seconds = self._timeout * max(1.0, size / BYTES_PER_TIMEOUT)
        try:
            async with asyncio.timeout(seconds) as limit:
                await self._context.write(message)
        except TimeoutError:
            if not limit.expired():
                raise
            raise StreamEnded(
                DeadlineExceeded(
                    Reason.STREAM_TOO_SLOW,
                    f"The client did not take {size} bytes of the response in {seconds:.0f}"
                    " seconds. Continue with a range.",
                )
            ) from None
        await self._pacer.step()  # here, because now the call holds nothing that it would send


class ResponseStreams:
    """Admits streams of responses, and shares them fairly among callers; see `FairPlaces`."""

    def __init__(self, timeout: timedelta, most: int | None = None) -> None:
        self._timeout = timeout.total_seconds()
        self._places = FairPlaces(most or MAX_STREAMS)
        self._pacer = Pacer()

    def paced(self, handler: Handler) -> Handler:
        """A burst of calls must not delay others either."""

        async def call(request: Any, context: Context) -> None:
            await self._pacer.step()
            await handler(request, context)

        return call

    def bounded(self, behavior: Any) -> Handler:
        async def call(request: Any, context: Context) -> None:
            place = self._places.take(charged())
            if place is None:
                raise self._busy("The call was not started.")
            task = asyncio.current_task()
            if task is None:
                raise RuntimeError("gRPC runs handlers in tasks")
            stream = ResponseStream(context, self._timeout, self._pacer)
            # While the client does not read, an error waits behind what was sent before, which
            # stays in memory. So the place is held until the call has ended.
            place.until_done(task)
            place.on_evicted(task.cancel)
            error: MediaError | None = None
            try:
                await behavior(request, stream)
            except asyncio.CancelledError:
                if not place.evicted or context.cancelled():
                    raise
                task.uncancel()
                error = self._busy("The caller has the most of them.")
            except StreamEnded as ended:
                error = ended.error
            except Unauthenticated as ended:  # the caller's API key was revoked
                error = ended
            if error is None:
                return
            await prepare_to_end(stream, error)
            try:
                raise error
            finally:
                error = None  # a cycle with its traceback would keep the call

        return call

    def _busy(self, detail: str) -> ResourceExhausted:
        return ResourceExhausted(
            Reason.SERVER_BUSY,
            f"This server already sends {self._places.most} responses, the most it sends at once."
            f" {detail} Try again in a moment.",
            max_streams=self._places.most,
        )


async def prepare_to_end(stream: ResponseStream, error: MediaError) -> None:
    """Cuts the response if HTTP clients would take it for complete, and makes sure that the stream
    ends even if the client does not read."""
    rest = http.is_rest(stream)
    reset_later(REST_RESET_SECONDS if rest else RESET_SECONDS)
    if rest and stream.begun:
        await http.cut(stream, error)
