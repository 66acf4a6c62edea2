"""Performs the steps of a protocol over a blocking channel."""

import time
from collections.abc import Iterator
from typing import Any, TypeVar

import grpc
from media.v1 import upload_pb2, upload_service_pb2

from media_service.client.channel import UNARY_TIMEOUT_SECONDS, rpcs
from media_service.client.errors import MediaServiceError, from_rpc
from media_service.client.steps import Call, Compute, Receive, Settle, Sleep, Step, Steps, Write
from media_service.client.upload import OPEN

Result = TypeVar("Result")


class SyncTransport:
    """A channel, and the metadata every call carries."""

    def __init__(self, channel: grpc.Channel, metadata: tuple[tuple[str, str], ...] = ()) -> None:
        self._rpcs = rpcs(channel)
        self._metadata = metadata

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

    def watch(self, upload_id: str) -> Iterator[upload_pb2.Upload]:
        """One WatchUpload."""
        request = upload_service_pb2.WatchUploadRequest(upload_id=upload_id)
        call = self._rpcs["WatchUpload"](request, metadata=self._metadata)
        try:
            yield from call
        except grpc.RpcError as error:
            raise from_rpc(error) from error
        finally:
            call.cancel()

    def _perform(self, step: Step) -> Any:
        match step:
            case Call(method, request):
                return self._call(method, request)
            case Write(messages):
                return self._write(messages)
            case Settle(upload_id):
                last = upload_pb2.Upload(state=upload_pb2.Upload.VERIFYING)
                for last in self.watch(upload_id):
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

    def _write(self, messages: Iterator[upload_service_pb2.WriteUploadRequest]) -> Any:
        failures: list[Exception] = []

        def guarded() -> Iterator[upload_service_pb2.WriteUploadRequest]:
            # gRPC reads this in a thread of its own, logs what it raises and hides it from us.
            try:
                yield from messages
            except Exception as error:
                failures.append(error)

        # A future, unlike a plain call, lets Ctrl-C through while it waits.
        future = self._rpcs["WriteUpload"].future(guarded(), metadata=self._metadata)
        try:
            upload = future.result()
        except grpc.FutureCancelledError as error:
            raise MediaServiceError(future.code(), "", "the call was cancelled") from error
        except grpc.RpcError as error:
            if not failures:
                raise from_rpc(error) from error
        finally:
            future.cancel()
        if failures:
            raise failures[0]
        return upload

    def _receive(self, step: Receive) -> None:
        call = self._rpcs["Download"](step.request, metadata=self._metadata)
        try:
            for response in call:
                step.take(response)
        except grpc.RpcError as error:
            raise from_rpc(error) from error
        finally:
            call.cancel()
