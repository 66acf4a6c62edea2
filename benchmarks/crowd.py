"""Clients of many concurrent uploads: `python -m benchmarks.crowd ADDRESS COUNT CHANNELS`.

Opens COUNT uploads and reports it in a line of JSON, keeps them open until it reads a line,
finishes them and reports again. The token is `MEDIA_TOKEN`.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Any

import grpc
import uvloop
from crc32c import crc32c as crc32c_of
from mediaservice.v1 import checksums_pb2, upload_pb2, upload_service_pb2, upload_service_pb2_grpc

from benchmarks.payload import HEADER
from media_service_client.channel import OPTIONS

Message = upload_service_pb2.WriteUploadRequest
# The bytes that are durable before the upload is held open, and the bytes that follow.
FIRST = HEADER.ljust(32 << 10, b"a")
REST = b"b" * (64 << 10)
SIZE = len(FIRST) + len(REST)
WHOLE = crc32c_of(REST, crc32c_of(FIRST))


@dataclass(frozen=True)
class PhaseResult:
    """The result of one phase: uploads, duration, and the number of failures by cause."""

    done: int
    seconds: float
    errors: dict[str, int]


async def begin(uploads: Any, metadata: Any) -> Any:
    """Starts a stream. The server sends the id once the first bytes are durable."""
    call = uploads.WriteUpload(metadata=metadata)
    spec = upload_pb2.UploadSpec(filename="bench.mp4", size_bytes=SIZE)
    await call.write(Message(spec=spec, data=FIRST, crc32c=crc32c_of(FIRST)))
    received = dict(await call.initial_metadata() or ())
    if "x-upload-id" not in received:
        await call  # raises the error of the call
        raise RuntimeError("the upload ended before the server sent its id")
    return call


async def end(call: Any) -> None:
    await call.write(Message(offset=len(FIRST), data=REST, crc32c=crc32c_of(REST)))
    checksums = checksums_pb2.Checksums(crc32c=WHOLE)
    await call.write(Message(offset=SIZE, finish=True, checksums=checksums))
    await call.done_writing()
    upload = await call
    if upload.state != upload_pb2.Upload.FINISHED or upload.media.checksums.crc32c != WHOLE:
        raise RuntimeError(f"the stored upload differs from the sent one: {upload}")


async def all_of(works: Sequence[Awaitable[Any]]) -> tuple[list[Any], PhaseResult]:
    """Runs all concurrently. Returns the results of those that succeeded."""
    start = time.perf_counter()
    results = await asyncio.gather(*works, return_exceptions=True)
    errors = Counter(describe(result) for result in results if isinstance(result, BaseException))
    good = [result for result in results if not isinstance(result, BaseException)]
    return good, PhaseResult(len(good), time.perf_counter() - start, dict(errors))


def describe(error: BaseException) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return repr(error)


async def crowd(address: str, count: int, channels: int) -> None:
    metadata = (("authorization", f"Bearer {os.environ['MEDIA_TOKEN']}"),)
    async with AsyncExitStack() as stack:
        stubs = [
            upload_service_pb2_grpc.UploadServiceStub(
                await stack.enter_async_context(
                    grpc.aio.insecure_channel(address, options=list(OPTIONS))
                )
            )
            for _ in range(channels)
        ]
        opened, result = await all_of([begin(stubs[n % channels], metadata) for n in range(count)])
        print(json.dumps(asdict(result)), flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        _, result = await all_of([end(call) for call in opened])
        print(json.dumps(asdict(result)), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(crowd(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
