"""Performs the steps of a protocol over a `grpc.aio` channel."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from grpc import aio
from mediaservice.v1 import download_service_pb2, upload_pb2, upload_service_pb2

from media_service_client.channel import UNARY_TIMEOUT_SECONDS, rpcs
from media_service_client.errors import MediaServiceError, from_rpc
from media_service_client.state import OPEN
from media_service_client.steps import (
    Call,
    Compute,
    Receive,
    Send,
    Settle,
    Sleep,
    Step,
    Steps,
    Together,
)

Result = TypeVar("Result")
# Files are read, checked and written in a thread, several messages at a time: a hop per message
# would cost as much as sending it.
BATCH = 8


def _remote(error: BaseException, call: Any) -> MediaServiceError | None:
    """The service's failure behind an exception, or None if it is this task that is cancelled.

    `grpc.aio` raises CancelledError when the *server* cancels a call, too.
    """
    if isinstance(error, aio.AioRpcError):
        return from_rpc(error)
    task = asyncio.current_task()
    if (
        isinstance(error, asyncio.CancelledError)
        and call.done()
        and not (task and task.cancelling())
    ):
        return MediaServiceError(grpc.StatusCode.CANCELLED, "", "the service cancelled the call")
    return None


async def _send(call: Any, batch: list[bytes]) -> bool:
    """Whether there may be more; False if the service has ended the call. Its status says why.

    This is `call.write` without one fault: when a write meets the end of the call, `write` puts
    INTERNAL "Internal error from Core" in the place of the service's own status. A SUPERSEDED
    would then look like a break, and two writers would take the upload from each other forever.
    """
    try:
        await call.wait_for_connection()
        for message in batch:
            if call.done():
                return False
            await call._cython_call.send_serialized_message(message)  # noqa: SLF001
    except (aio.AioRpcError, aio.InternalError):
        return False
    except asyncio.CancelledError as error:
        if not _remote(error, call):
            raise
        return False
    return True


async def _half_close(call: Any) -> None:
    # A call that has ended meanwhile needs no end of ours; its status says why.
    with contextlib.suppress(aio.InternalError, asyncio.InvalidStateError):
        await call.done_writing()


class AsyncTransport:
    """A channel, and the metadata every call carries."""

    def __init__(self, channel: aio.Channel, metadata: tuple[tuple[str, str], ...] = ()) -> None:
        self._rpcs = rpcs(channel)
        self._metadata = metadata

    async def run(self, steps: Steps[Result]) -> Result:
        """Follows a protocol to its end."""
        try:
            step = next(steps)
            while True:
                try:
                    result = await self._perform(step)
                except MediaServiceError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]

    async def watch(self, method: str, request: Message) -> AsyncIterator[Any]:
        """The messages of one call that watches something."""
        call = self._rpcs[method](request, metadata=self._metadata)
        try:
            while (message := await self._read(call)) is not aio.EOF:
                yield message
        finally:
            call.cancel()

    async def _perform(self, step: Step) -> Any:  # noqa: PLR0911 - one for each step
        match step:
            case Call(method, request):
                return await self._call(method, request)
            case Send(method, messages):
                return await self._send(method, messages)
            case Together(protocols, limit):
                return await self._together(protocols, limit)
            case Settle(upload_id):
                return await self._settle(upload_id)
            case Receive():
                return await self._receive(step)
            case Compute(work):
                return await asyncio.to_thread(work)
            case Sleep(seconds):
                return await asyncio.sleep(seconds)

    async def _await(self, call: Any) -> Any:
        try:
            return await call
        except (aio.AioRpcError, asyncio.CancelledError) as error:
            if failure := _remote(error, call):
                raise failure from error
            raise

    async def _read(self, call: Any) -> Any:
        try:
            return await call.read()
        except (aio.AioRpcError, asyncio.CancelledError) as error:
            if failure := _remote(error, call):
                raise failure from error
            raise

    async def _call(self, method: str, request: Any) -> Any:
        return await self._await(
            self._rpcs[method](request, timeout=UNARY_TIMEOUT_SECONDS, metadata=self._metadata)
        )

    async def _settle(self, upload_id: str) -> upload_pb2.Upload:
        last = upload_pb2.Upload(state=upload_pb2.Upload.VERIFYING)
        request = upload_service_pb2.WatchUploadRequest(upload_id=upload_id)
        watch = self.watch("WatchUpload", request)
        try:
            async for last in watch:
                if last.state not in OPEN:
                    break
        finally:
            await watch.aclose()  # type: ignore[attr-defined]
        return last

    async def _together(self, protocols: Iterator[Steps[Any]], limit: int) -> None:
        async def work() -> None:
            for steps in protocols:
                await self.run(steps)

        tasks = [asyncio.create_task(work()) for _ in range(limit)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def _send(self, method: str, messages: Iterator[Message]) -> Any:
        def read_ahead() -> "asyncio.Task[list[bytes]]":
            return asyncio.create_task(
                asyncio.to_thread(lambda: [m.SerializeToString() for m in islice(messages, BATCH)])
            )

        call = self._rpcs[method](metadata=self._metadata)
        ahead = read_ahead()
        try:
            while batch := await ahead:
                ahead = read_ahead()
                if not await _send(call, batch):
                    break
            else:
                await _half_close(call)
            return await self._await(call)
        finally:
            ahead.cancel()
            call.cancel()

    async def _receive(self, step: Receive) -> None:
        call = self._rpcs["Download"](step.request, metadata=self._metadata)
        writer = _Writer(step.take)
        try:
            while (response := await self._next(call, writer)) is not aio.EOF:
                await writer.add(response)
            await writer.flush()
        finally:
            call.cancel()

    async def _next(self, call: Any, writer: "_Writer") -> Any:
        try:
            return await self._read(call)
        except MediaServiceError:
            await writer.flush()  # what came before the break counts
            raise
        except asyncio.CancelledError:
            await writer.settle()
            raise


class _Writer:
    """Hands messages to a thread, one batch at work while the next one fills.

    After a batch has failed none may follow: what comes next would leave a gap.
    """

    def __init__(self, take: Callable[[download_service_pb2.DownloadResponse], None]) -> None:
        self._take = take
        self._batch: list[download_service_pb2.DownloadResponse] = []
        self._work: asyncio.Future[None] | None = None

    def _take_all(self, batch: list[download_service_pb2.DownloadResponse]) -> None:
        for response in batch:
            self._take(response)

    async def add(self, response: download_service_pb2.DownloadResponse) -> None:
        self._batch.append(response)
        if len(self._batch) >= BATCH:
            await self.drain()
            batch, self._batch = self._batch, []
            self._work = asyncio.ensure_future(asyncio.to_thread(self._take_all, batch))

    async def drain(self) -> None:
        """Waits for the batch at work, even when cancelled: its file must not be closed before."""
        if self._work is not None:
            work, self._work = self._work, None
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                await asyncio.wait({work})
                raise

    async def settle(self) -> None:
        """Waits for the batch at work, however it ends."""
        if self._work is not None:
            await asyncio.wait({self._work})

    async def flush(self) -> None:
        await self.drain()
        batch, self._batch = self._batch, []
        if batch:
            await asyncio.to_thread(self._take_all, batch)
