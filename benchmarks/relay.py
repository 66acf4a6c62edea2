"""The limit of an object store behind gRPC: a relay that does nothing else. `python -m
benchmarks.relay PORT ENDPOINT BUCKET` serves it on loopback.

Uploads: messages are joined to parts of 8 MiB, of which four are sent concurrently. Downloads: the
response of one ranged GET, in messages. Parts, client and checksums are those of the service.
"""

import asyncio
import sys
from collections import deque
from typing import Any

import grpc
import uvloop
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from grpc_health.v1 import health, health_pb2_grpc
from mediaservice.v1 import download_service_pb2, upload_service_pb2

from benchmarks.bare import SINK, SOURCE
from media_service.rpc.server_options import OPTIONS
from media_service.storage.crc32c_combine import base64_of

PART = 8 << 20
IN_FLIGHT = 4
MESSAGE = 512 << 10
KEY = "relayed"


class Relay(grpc.GenericRpcHandler):
    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3 = s3
        self._object = {"Bucket": bucket, "Key": KEY}
        self._handlers = {
            SINK: grpc.stream_unary_rpc_method_handler(
                self._up, request_deserializer=upload_service_pb2.WriteUploadRequest.FromString
            ),
            SOURCE: grpc.unary_stream_rpc_method_handler(
                self._down,
                response_serializer=download_service_pb2.DownloadResponse.SerializeToString,
            ),
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._handlers.get(handler_call_details.method)

    async def _up(self, messages: Any, context: Any) -> bytes:
        opened = await self._s3.create_multipart_upload(**self._object, ChecksumAlgorithm="CRC32C")
        self._session = {**self._object, "UploadId": opened["UploadId"]}
        sending: deque[asyncio.Task[dict[str, Any]]] = deque()
        parts, held, size, count = [], [], 0, 0
        async for message in messages:
            held.append(message.data)
            size += len(held[-1])
            if size >= PART:
                if len(sending) == IN_FLIGHT:
                    parts.append(await sending.popleft())
                number = len(parts) + len(sending) + 1
                sending.append(asyncio.create_task(self._send(number, b"".join(held))))
                count, held, size = count + size, [], 0
        if held:
            number = len(parts) + len(sending) + 1
            sending.append(asyncio.create_task(self._send(number, b"".join(held))))
            count += size
        parts += [await task for task in sending]
        await self._s3.complete_multipart_upload(**self._session, MultipartUpload={"Parts": parts})
        return str(count).encode()

    async def _send(self, number: int, data: bytes) -> dict[str, Any]:
        part = {"PartNumber": number, "ChecksumCRC32C": base64_of(data)}
        answer = await self._s3.upload_part(**self._session, **part, Body=data)
        return {**part, "ETag": answer["ETag"]}

    async def _down(self, request: bytes, context: Any) -> None:
        size = int(request)
        answer = await self._s3.get_object(**self._object, Range=f"bytes=0-{size - 1}")
        async with answer["Body"] as body:
            while size:
                data = await body.raw_stream.content.readexactly(min(MESSAGE, size))
                await context.write(download_service_pb2.DownloadResponse(data=data))
                size -= len(data)


async def serve(port: int, endpoint: str, bucket: str) -> None:
    config = AioConfig(
        max_pool_connections=64,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path", "payload_signing_enabled": False},
    )
    async with get_session().create_client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", config=config
    ) as s3:
        server = grpc.aio.server(options=list(OPTIONS))
        server.add_generic_rpc_handlers((Relay(s3, bucket),))
        health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
