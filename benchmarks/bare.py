"""The limit: `grpc.aio` with handlers that do nothing with the bytes. `python -m benchmarks.bare
PORT MESSAGE_BYTES DATABASE_URL FOLDER` serves it on loopback.

The messages are those of the contract, since any gRPC service must parse and serialize them. Sent
messages are created once. `GetContent` is from the contract, too, so that the service's own Envoy
fits in front.
"""

import asyncio
import itertools
import os
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from typing import Any

import grpc
import psycopg
import uvloop
from google.api import httpbody_pb2
from grpc_health.v1 import health, health_pb2_grpc
from mediaservice.v1 import download_service_pb2, upload_service_pb2

from media_service.rpc.server_options import OPTIONS

SINK = "/bare.Limit/Sink"
KEEP = "/bare.Limit/Keep"
SOURCE = "/bare.Limit/Source"
EMPTY = "/bare.Limit/Empty"
STORE = "/bare.Limit/Store"
GET_CONTENT = "/mediaservice.v1.DownloadService/GetContent"
CONTENT_TYPE = "video/mp4"
# Concurrent small uploads.
AT_ONCE = 32


class DurableLoop:
    """Runs only {write + fsync + one commit}, in threads with a connection each."""

    def __init__(self, url: str, folder: Path, threads: int) -> None:
        self.executor = ThreadPoolExecutor(threads, initializer=self._connect)
        self._url = url
        self._folder = folder
        self._names = itertools.count()
        self._of_thread = threading.local()

    def _connect(self) -> None:
        self._of_thread.connection = psycopg.connect(self._url, autocommit=True)

    def open(self) -> FileIO:
        return (self._folder / f"{os.getpid()}-{next(self._names)}").open("wb", buffering=0)

    def store(self, data: bytes) -> None:
        with self.open() as file:
            file.write(data)
            os.fsync(file.fileno())
            name = str(file.name)
        self._of_thread.connection.execute("insert into bare_loop (name) values (%s)", [name])


class Limit(grpc.GenericRpcHandler):
    """The bare server. A source sends the requested number of bytes in messages of
    `message_bytes`."""

    def __init__(self, message_bytes: int, durable: DurableLoop) -> None:
        self._durable = durable
        self._message = bytes(message_bytes)
        self._response = download_service_pb2.DownloadResponse(data=self._message)
        self._body = httpbody_pb2.HttpBody(content_type=CONTENT_TYPE, data=self._message)
        self._handlers: Mapping[str, Any] = {
            SINK: grpc.stream_unary_rpc_method_handler(
                self._sink,
                request_deserializer=upload_service_pb2.WriteUploadRequest.FromString,
            ),
            KEEP: grpc.stream_unary_rpc_method_handler(
                self._keep,
                request_deserializer=upload_service_pb2.WriteUploadRequest.FromString,
            ),
            SOURCE: grpc.unary_stream_rpc_method_handler(
                self._source,
                response_serializer=download_service_pb2.DownloadResponse.SerializeToString,
            ),
            STORE: grpc.stream_unary_rpc_method_handler(
                self._store,
                request_deserializer=upload_service_pb2.WriteUploadRequest.FromString,
            ),
            EMPTY: grpc.unary_unary_rpc_method_handler(self._empty),
            GET_CONTENT: grpc.unary_stream_rpc_method_handler(
                self._get_content,
                request_deserializer=download_service_pb2.GetContentRequest.FromString,
                response_serializer=httpbody_pb2.HttpBody.SerializeToString,
            ),
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._handlers.get(handler_call_details.method)

    async def _sink(self, messages: Any, context: Any) -> bytes:
        count = 0
        async for message in messages:
            count += len(message.data)
        return str(count).encode()

    async def _keep(self, messages: Any, context: Any) -> bytes:
        """A sink into a file, synced at the end. It writes while it receives the next message."""
        loop, count = asyncio.get_running_loop(), 0
        with self._durable.open() as file:
            writing = loop.run_in_executor(None, file.write, b"")
            async for message in messages:
                data = message.data
                count += len(data)
                await writing
                writing = loop.run_in_executor(None, file.write, data)
            await writing
            await loop.run_in_executor(None, os.fsync, file.fileno())
        return str(count).encode()

    async def _store(self, messages: Any, context: Any) -> bytes:
        message = await anext(messages)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._durable.executor, self._durable.store, message.data)
        return b""

    async def _source(self, request: bytes, context: Any) -> None:
        for _ in range(int(request) // len(self._message)):
            await context.write(self._response)

    async def _empty(self, request: bytes, context: Any) -> bytes:
        return b""

    async def _get_content(
        self, request: download_service_pb2.GetContentRequest, context: Any
    ) -> None:
        """`media_id` is the requested number of bytes."""
        await context.send_initial_metadata(
            (
                ("x-http-status", "200"),
                ("x-content-length", request.media_id),
                ("x-content-type", CONTENT_TYPE),
            )
        )
        for _ in range(int(request.media_id) // len(self._message)):
            await context.write(self._body)


async def serve(port: int, message_bytes: int, database_url: str, folder: Path) -> None:
    server = grpc.aio.server(options=list(OPTIONS))
    server.add_generic_rpc_handlers(
        (Limit(message_bytes, DurableLoop(database_url, folder, AT_ONCE)),)
    )
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])))
