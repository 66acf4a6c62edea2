"""Parallel parts, compared with one stream of the same bytes, on local disk and on S3."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crc32c import crc32c as crc32c_of
from mediaservice.v1 import checksums_pb2, upload_pb2, upload_service_pb2, upload_service_pb2_grpc

from benchmarks.measure import GIB, MIB, Bench, Work, take_turns
from benchmarks.payload import Payload
from benchmarks.report import Contender, Outcome, versus
from benchmarks.s3 import MISSING
from benchmarks.stack import MESSAGE, Addresses
from benchmarks.transfer import Client, client, curl

PART = 16 * MIB
SIDE_BY_SIDE = 8
STREAM, PARTS = "one stream", f"{SIDE_BY_SIDE} parts at a time"
SIGNED = f"{SIDE_BY_SIDE} parts by signed URLs"


async def messages(
    upload_id: str, number: int, payload: Payload
) -> AsyncIterator[upload_service_pb2.PutPartRequest]:
    """The messages of one part. The payload is read while it is sent."""
    fd = os.open(payload.path, os.O_RDONLY)
    try:
        start = (number - 1) * PART
        end = min(start + PART, payload.size)
        message = upload_service_pb2.PutPartRequest(
            upload_id=upload_id, part_number=number, size_bytes=end - start
        )
        for at in range(start, end, MESSAGE):
            message.body.data = os.pread(fd, min(MESSAGE, end - at), at)
            yield message
            message = upload_service_pb2.PutPartRequest()
    finally:
        os.close(fd)


async def begin(to: Client, payload: Payload) -> tuple[Any, str]:
    """Creates an upload. Returns the stub and the upload's id."""
    uploads: Any = upload_service_pb2_grpc.UploadServiceStub(to.service)
    spec = upload_pb2.UploadSpec(filename="bench.mp4", size_bytes=payload.size)
    request = upload_service_pb2.CreateUploadRequest(spec=spec)
    created = await uploads.CreateUpload(request, metadata=to.metadata)
    return uploads, created.upload_id


async def complete(to: Client, uploads: Any, upload_id: str, payload: Payload) -> None:
    checksums = checksums_pb2.Checksums(crc32c=payload.crc32c)
    whole = upload_service_pb2.CompleteUploadRequest(upload_id=upload_id, checksums=checksums)
    upload = await uploads.CompleteUpload(whole, metadata=to.metadata)
    assert upload.state == upload_pb2.Upload.FINISHED
    assert upload.media.size_bytes == payload.size


async def upload_in_parts(to: Client, payload: Payload) -> None:
    uploads, upload_id = await begin(to, payload)
    numbers = iter(range(1, -(-payload.size // PART) + 1))

    async def put() -> None:
        for number in numbers:
            sent = messages(upload_id, number, payload)
            await uploads.PutPart(sent, metadata=to.metadata)

    await asyncio.gather(*(put() for _ in range(SIDE_BY_SIDE)))
    await complete(to, uploads, upload_id, payload)


@dataclass(frozen=True)
class PartFile:
    """A part as a file, for a generic HTTP client."""

    path: Path
    named: upload_pb2.Part


def split(payload: Payload, folder: Path) -> list[PartFile]:
    found = []
    with payload.path.open("rb") as file:
        for number in range(1, -(-payload.size // PART) + 1):
            data, path = file.read(PART), folder / str(number)
            path.write_bytes(data)
            named = upload_pb2.Part(
                part_number=number, size_bytes=len(data), crc32c=crc32c_of(data)
            )
            found.append(PartFile(path, named))
    return found


async def upload_signed(to: Client, payload: Payload, files: Sequence[PartFile]) -> None:
    """Sends all parts to their signed URLs with one curl."""
    uploads, upload_id = await begin(to, payload)
    request = upload_service_pb2.SignUploadRequest(
        upload_id=upload_id, parts=[file.named for file in files]
    )
    signed = await uploads.SignUpload(request, metadata=to.metadata)
    sent = []
    for file, part in zip(files, signed.parts, strict=True):
        headers = [option for h in part.headers.items() for option in ("-H", ": ".join(h))]
        sent += ["--next", "-T", str(file.path), *headers, "--fail-with-body", "-sS", part.url]
    await curl("-Z", "--parallel-immediate", "--parallel-max", str(SIDE_BY_SIDE), *sent[1:])
    await complete(to, uploads, upload_id, payload)


async def compared(bench: Bench, where: str, addresses: Addresses | None) -> Sequence[Contender]:
    """Compares one stream with parts. On S3, also parts sent directly to the store."""
    with tempfile.TemporaryDirectory(dir=bench.payload.path.parent) as folder:
        files = split(bench.payload, Path(folder)) if addresses else []
        return await side_by_side(bench, where, addresses, files)


async def side_by_side(
    bench: Bench, where: str, addresses: Addresses | None, files: Sequence[PartFile]
) -> Sequence[Contender]:
    async with client(bench.stack, addresses) as to:

        async def stream() -> float:
            await to.upload(bench.payload, bench.payload.size)
            return bench.payload.size

        async def parts() -> float:
            await upload_in_parts(to, bench.payload)
            return bench.payload.size

        async def signed() -> float:
            await upload_signed(to, bench.payload, files)
            return bench.payload.size

        works: dict[str, Work] = {f"{STREAM}, {where}": stream, f"{PARTS}, {where}": parts}
        if files:
            works[f"{SIGNED}, {where}"] = signed
        found = await take_turns(
            bench, works, unit=("MB/s", 1e6), cpu_unit=("s/GiB", GIB), after=bench.stack.discard
        )
    return list(found.values())


async def parts(bench: Bench) -> Outcome:
    what = f"upload {bench.size} in parts of {PART // MIB} MiB, {SIDE_BY_SIDE} at a time"
    stream, several = contenders = await compared(bench, "local disk", None)
    # A lower ratio is slower than the variation between runs explains.
    rows = [versus(f"{what}, local disk", 0.95, several, stream, stream)]
    if bench.stack.on_s3 is None:
        return Outcome(rows, [*contenders], [MISSING])
    stream, several, signed = more = await compared(bench, "S3", bench.stack.on_s3)
    rows.append(versus(f"{what}, S3", 1.0, several, stream, stream))
    rows.append(versus(f"{what}, S3, by signed URLs", 1.0, signed, stream, stream))
    return Outcome(rows, [*contenders, *more])
