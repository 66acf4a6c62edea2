"""Large uploads and downloads: the loops of a minimal client."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from crc32c import crc32c as crc32c_of
from mediaservice.v1 import (
    checksums_pb2,
    download_service_pb2,
    download_service_pb2_grpc,
    upload_pb2,
    upload_service_pb2,
    upload_service_pb2_grpc,
)

from benchmarks.bare import SINK, SOURCE
from benchmarks.payload import Payload
from benchmarks.stack import MESSAGE, Addresses, Stack
from media_service_client.channel import OPTIONS


@asynccontextmanager
async def channel(address: str) -> AsyncIterator[grpc.aio.Channel]:
    """A new connection with the options of the project's client."""
    async with grpc.aio.insecure_channel(address, options=list(OPTIONS)) as opened:
        yield opened


@dataclass(frozen=True)
class Client:
    """One connection to the service and one to the bare server. REST uses `curl`."""

    stack: Stack
    service: grpc.aio.Channel
    bare: grpc.aio.Channel

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.stack.token}"),)

    async def upload(self, payload: Payload, size: int) -> str:
        """Uploads with a checksum per message and one of the whole. Returns the media id."""
        uploads: Any = upload_service_pb2_grpc.UploadServiceStub(self.service)
        call = uploads.WriteUpload(metadata=self.metadata)
        spec = upload_pb2.UploadSpec(filename="bench.mp4", size_bytes=size)
        await call.write(upload_service_pb2.WriteUploadRequest(spec=spec))
        offset = whole = 0
        for data in payload.pieces(size, MESSAGE):
            await call.write(
                upload_service_pb2.WriteUploadRequest(
                    offset=offset, data=data, crc32c=crc32c_of(data)
                )
            )
            offset += len(data)
            whole = crc32c_of(data, whole)
        checksums = checksums_pb2.Checksums(crc32c=whole)
        await call.write(
            upload_service_pb2.WriteUploadRequest(offset=offset, finish=True, checksums=checksums)
        )
        await call.done_writing()
        upload = await call
        assert upload.state == upload_pb2.Upload.FINISHED
        assert upload.media.size_bytes == size
        return str(upload.media.media_id)

    async def sink(self, payload: Payload, size: int, method: str = SINK) -> None:
        message = upload_service_pb2.WriteUploadRequest
        call: Any = self.bare.stream_unary(method, request_serializer=message.SerializeToString)()
        for data in payload.pieces(size, MESSAGE):
            await call.write(message(data=data))
        await call.done_writing()
        assert int(await call) == size

    async def download(self, media_id: str, size: int) -> None:
        downloads: Any = download_service_pb2_grpc.DownloadServiceStub(self.service)
        request = download_service_pb2.DownloadRequest(media_id=media_id)
        received = 0
        async for message in downloads.Download(request, metadata=self.metadata):
            data = message.data
            assert crc32c_of(data) == message.crc32c
            received += len(data)
        assert received == size

    async def source(self, size: int) -> None:
        received = 0
        parse = download_service_pb2.DownloadResponse.FromString
        source: Any = self.bare.unary_stream(SOURCE, response_deserializer=parse)
        async for message in source(str(size).encode()):
            received += len(message.data)
        assert received == size

    @property
    def bearer(self) -> list[str]:
        """The `curl` options that send the token."""
        return ["-H", f"Authorization: Bearer {self.stack.token}"]


@asynccontextmanager
async def client(stack: Stack, addresses: Addresses | None = None) -> AsyncIterator[Client]:
    """A client of the service on local disk, or of the one at `addresses`."""
    to = addresses or Addresses(stack.grpc, stack.bare_grpc)
    async with channel(to.service) as service, channel(to.limit) as bare:
        yield Client(stack, service, bare)


async def run(command: Sequence[str]) -> bytes:
    """The output of a command, which must succeed."""
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed ({done.returncode}): {done.stderr.decode()}")
    return bytes(done.stdout)


async def curl(*arguments: str) -> bytes:
    return await run(["curl", "-q", "--noproxy", "*", "-sS", "--fail-with-body", *arguments])


async def curl_json(*arguments: str) -> dict[str, Any]:
    answer = json.loads(await curl(*arguments))
    assert isinstance(answer, dict)
    return answer


async def curl_discard(size: int, *arguments: str) -> None:
    """Fetches a body of `size` bytes and discards it."""
    got = await curl("-o", "/dev/null", "-w", "%{http_code} %{size_download}", *arguments)
    assert got.decode() == f"200 {size}", got
