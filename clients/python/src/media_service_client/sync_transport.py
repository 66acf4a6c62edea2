"""Performs the steps of a protocol over a blocking channel."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from mediaservice.v1 import upload_pb2, upload_service_pb2

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


class SyncTransport:
    """A channel, and the metadata every call carries."""

    def __init__(self, channel: grpc.Channel, metadata: tuple[tuple[str, str], ...] = ()) -> None:
        self._channel = channel
        self._rpcs = rpcs(channel)
        self._metadata = metadata
        self._sending: set[Any] = set()

    def run(self, steps: Steps[Result]) -> Result:
        """Follows a protocol to its end."""
        try:
            step = next(steps)
            while True:
                try:
                    result = self._perform(step)
                except MediaServiceError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]

    def watch(self, method: str, request: Message) -> Iterator[Any]:
        """The messages of one call that watches something."""
        call = self._rpcs[method](request, metadata=self._metadata)
        try:
            yield from call
        except grpc.RpcError as error:
            raise from_rpc(error) from error
        finally:
            call.cancel()

    def _perform(self, step: Step) -> Any:  # noqa: PLR0911 - one for each step
        match step:
            case Call(method, request):
                return self._call(method, request)
            case Send(method, messages):
                return self._send(method, messages)
            case Together(protocols, limit):
                return Threads(self._channel, self._metadata, protocols).run_all(limit)
            case Settle(upload_id):
                last = upload_pb2.Upload(state=upload_pb2.Upload.VERIFYING)
                request = upload_service_pb2.WatchUploadRequest(upload_id=upload_id)
                for last in self.watch("WatchUpload", request):
                    if last.state not in OPEN:
                        break
                return last
            case Receive():
                return self._receive(step)
            case Compute(work):
                return work()
            case Sleep(seconds):
                return time.sleep(seconds)

    def _call(self, method: str, request: Any) -> Any:
        try:
            return self._rpcs[method](
                request, timeout=UNARY_TIMEOUT_SECONDS, metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise from_rpc(error) from error

    def _send(self, method: str, messages: Iterator[Message]) -> Any:
        failures: list[Exception] = []

        def guarded() -> Iterator[Message]:
            # gRPC reads this in a thread of its own, logs what it raises and hides it from us.
            try:
                yield from messages
            except Exception as error:
                failures.append(error)

        # A future, unlike a plain call, lets Ctrl-C through while it waits.
        future = self._rpcs[method].future(guarded(), metadata=self._metadata)
        self._sending.add(future)
        try:
            response = future.result()
        except grpc.FutureCancelledError as error:
            raise MediaServiceError(future.code(), "", "the call was cancelled") from error
        except grpc.RpcError as error:
            if not failures:
                raise from_rpc(error) from error
        finally:
            self._sending.discard(future)
            future.cancel()
        if failures:
            raise failures[0]
        return response

    def _receive(self, step: Receive) -> None:
        call = self._rpcs["Download"](step.request, metadata=self._metadata)
        try:
            for response in call:
                step.take(response)
        except grpc.RpcError as error:
            raise from_rpc(error) from error
        finally:
            call.cancel()


class Threads(SyncTransport):
    """Follows several protocols, each in a thread."""

    def __init__(
        self,
        channel: grpc.Channel,
        metadata: tuple[tuple[str, str], ...],
        protocols: Iterator[Steps[Any]],
    ) -> None:
        super().__init__(channel, metadata)
        self._protocols = protocols
        self._lock = threading.Lock()
        self._over = False

    def run_all(self, limit: int) -> None:
        """All of them, `limit` at a time; the first failure, or Ctrl-C, ends the others."""
        with ThreadPoolExecutor(limit) as pool:
            working = [pool.submit(self._work) for _ in range(limit)]
            try:
                done, _ = wait(working, return_when=FIRST_EXCEPTION)
                for one in done:
                    one.result()
            finally:
                self._over = True
                for sending in self._sending.copy():
                    sending.cancel()

    def _work(self) -> None:
        while (steps := self._next()) is not None:
            self.run(steps)

    def _next(self) -> Steps[Any] | None:
        with self._lock:
            return None if self._over else next(self._protocols, None)
