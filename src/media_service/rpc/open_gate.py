"""The gate of the standard services that take no token: health and reflection. Any client that
reaches the port may call them, so what their calls hold is bounded, apart from the calls of
users."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeAlias

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from media_service.rpc.caller import charged
from media_service.rpc.client_addresses import ClientAddresses, current_address
from media_service.rpc.decoding import Undecodable, decoding
from media_service.rpc.error_status import abort, known
from media_service.rpc.request_reader import RequestReader, check_metadata
from media_service.rpc.response_stream import ResponseStreams
from media_service.rpc.running_calls import RunningCalls

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

# Of each streaming method, in each process.
MAX_STREAMS = 100
# Of calls that wait for a message.
MAX_WAITING = 16
# Names of services, symbols and files are shorter.
MAX_MESSAGE = 4096


class OpenGate:
    """Wraps each handler of the servicers that are registered through it."""

    def __init__(
        self,
        server: grpc.aio.Server,
        services: Iterable[ServiceDescriptor],
        calls: RunningCalls,
        addresses: ClientAddresses,
        stream_timeout: timedelta,
    ) -> None:
        self._server = server
        self._calls = calls
        self._addresses = addresses
        self._stream_timeout = stream_timeout
        self._requests = RequestReader(MAX_WAITING)
        self._types = {
            f"/{service.full_name}/{method.name}": GetMessageClass(method.input_type)
            for service in services
            for method in service.methods
        }

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Ignored; see `Gate`."""

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, "grpc.RpcMethodHandler[Any, Any]"]
    ) -> None:
        wrapped = {
            name: self._wrap(f"/{service}/{name}", handler) for name, handler in handlers.items()
        }
        self._server.add_registered_method_handlers(service, wrapped)

    def _wrap(
        self, path: str, handler: "grpc.RpcMethodHandler[Any, Any]"
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        request = self._types[path]
        coder = (decoding(request.FromString, request, MAX_MESSAGE), handler.response_serializer)
        if not handler.response_streaming:
            call = self._calls.tracked(self._guarded(handler.unary_unary, self._one))
            return grpc.stream_unary_rpc_method_handler(call, *coder)
        streams = ResponseStreams(self._stream_timeout, MAX_STREAMS)
        if handler.request_streaming:
            call = self._guarded(streams.bounded(handler.stream_stream), self._all)
        else:
            call = self._guarded(streams.bounded(handler.unary_stream), self._one)
        return grpc.stream_stream_rpc_method_handler(
            self._calls.tracked(call, streams=True), *coder
        )

    def _guarded(
        self, behavior: Any, receive: Callable[[Context], Awaitable[Any]]
    ) -> Callable[[Any, Context], Awaitable[Any]]:
        async def call(_: Any, context: Context) -> Any:
            current_address.set(self._addresses.of(context))
            try:
                check_metadata(context)
                return await behavior(await receive(context), context)
            except grpc.aio.AbortError:  # the response was cut, see `http.cut`
                raise
            except Exception as error:
                await abort(context, known(error))

        return call

    async def _one(self, context: Context) -> Any:
        return decoded(await self._requests.read(context, charged()))

    async def _all(self, context: Context) -> AsyncIterator[Any]:
        """The messages of a stream. Each has to arrive in time."""
        return self._messages(context)

    async def _messages(self, context: Context) -> AsyncIterator[Any]:
        owner = charged()
        while (message := await self._requests.next(context, owner)) is not grpc.aio.EOF:
            yield decoded(message)


def decoded(message: Any) -> Any:
    if isinstance(message, Undecodable):
        raise message.error
    return message
