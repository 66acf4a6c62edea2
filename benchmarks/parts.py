"""Parts side by side beside one stream of the same bytes, on the local disk and on S3."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from media.v1 import checksums_pb2, upload_pb2, upload_service_pb2, upload_service_pb2_grpc

from benchmarks.measure import GIB, MIB, Bench, Work, take_turns
from benchmarks.payload import Payload
from benchmarks.report import Contender, Outcome, versus
from benchmarks.s3 import MISSING
from benchmarks.stack import MESSAGE, Addresses
from benchmarks.transfer import Client, client

PART = 16 * MIB
SIDE_BY_SIDE = 8
STREAM, PARTS = "one stream", f"{SIDE_BY_SIDE} parts at a time"


async def messages(
    upload_id: str, number: int, payload: Payload
) -> AsyncIterator[upload_service_pb2.PutPartRequest]:
    """A part of the payload, read as it is sent."""
    fd = os.open(payload.path, os.O_RDONLY)
    try:
        message = upload_service_pb2.PutPartRequest(upload_id=upload_id, part_number=number)
        start = (number - 1) * PART
        end = min(start + PART, payload.size)
        for at in range(start, end, MESSAGE):
            message.body.data = os.pread(fd, min(MESSAGE, end - at), at)
            yield message
            message = upload_service_pb2.PutPartRequest()
    finally:
        os.close(fd)


async def upload_in_parts(to: Client, payload: Payload) -> None:
    uploads: Any = upload_service_pb2_grpc.UploadServiceStub(to.service)
    spec = upload_pb2.UploadSpec(filename="bench.mp4", size_bytes=payload.size)
    request = upload_service_pb2.CreateUploadRequest(spec=spec)
    created = await uploads.CreateUpload(request, metadata=to.metadata)
    numbers = iter(range(1, -(-payload.size // PART) + 1))

    async def put() -> None:
        for number in numbers:
            sent = messages(created.upload_id, number, payload)
            await uploads.PutPart(sent, metadata=to.metadata)

    await asyncio.gather(*(put() for _ in range(SIDE_BY_SIDE)))
    checksums = checksums_pb2.Checksums(crc32c=payload.crc32c)
    whole = upload_service_pb2.CompleteUploadRequest(
        upload_id=created.upload_id, checksums=checksums
    )
    upload = await uploads.CompleteUpload(whole, metadata=to.metadata)
    assert upload.state == upload_pb2.Upload.FINISHED
    assert upload.media.size_bytes == payload.size


async def compared(
    bench: Bench, where: str, addresses: Addresses | None
) -> tuple[Contender, Contender, list[Contender]]:
    """One stream, parts, and both."""
    async with client(bench.stack, addresses) as to:

        async def stream() -> float:
            await to.upload(bench.payload, bench.payload.size)
            return bench.payload.size

        async def parts() -> float:
            await upload_in_parts(to, bench.payload)
            return bench.payload.size

        works: dict[str, Work] = {f"{STREAM}, {where}": stream, f"{PARTS}, {where}": parts}
        found = await take_turns(
            bench, works, unit=("MB/s", 1e6), cpu_unit=("s/GiB", GIB), after=bench.stack.discard
        )
    one, several = found.values()
    return one, several, [one, several]


async def parts(bench: Bench) -> Outcome:
    what = f"upload {bench.size} in parts of {PART // MIB} MiB, {SIDE_BY_SIDE} at a time"
    stream, several, contenders = await compared(bench, "local disk", None)
    # Less than this is slower beyond what the machine itself differs from run to run.
    rows = [versus(f"{what}, local disk", 0.95, several, stream, stream)]
    if bench.stack.on_s3 is None:
        return Outcome(rows, contenders, [MISSING])
    stream, several, more = await compared(bench, "S3", bench.stack.on_s3)
    rows.append(versus(f"{what}, S3", 1.0, several, stream, stream))
    return Outcome(rows, [*contenders, *more])
