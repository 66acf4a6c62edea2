"""Uploads in parts."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from crc32c import crc32c as crc32c_of
from mediaservice.v1 import checksums_pb2, upload_pb2, upload_service_pb2

from tests.support.rpc.server import Caller
from tests.support.stores.local_files import blob_files

MIB = 1 << 20

Checksums = checksums_pb2.Checksums

Upload = upload_pb2.Upload

Part = upload_pb2.Part

Put = upload_service_pb2.PutPartRequest


async def pieces(upload_id: str, number: int, data: bytes, size: int) -> AsyncIterator[Put]:
    message = Put(upload_id=upload_id, part_number=number, size_bytes=size)
    message.body.data = data[:MIB]
    yield message
    for at in range(MIB, len(data), MIB):
        message = Put()
        message.body.data = data[at : at + MIB]
        yield message


async def put(
    caller: Caller,
    upload_id: str,
    number: int,
    data: bytes,
    *headers: tuple[str, str],
    size: int | None = None,
) -> Part:
    """Stores a part. `size` is the size declared beforehand, or 0 for none."""
    sent = pieces(upload_id, number, data, len(data) if size is None else size)
    return without_etag(await caller.call(caller.uploads.PutPart, sent, *headers))


def without_etag(part: Part) -> Part:
    """The part without its etag, to compare it with `named`. A stored part must have one."""
    assert part.etag
    part.ClearField("etag")
    return part


def named(number: int, data: bytes) -> Part:
    return Part(part_number=number, size_bytes=len(data), crc32c=crc32c_of(data))


async def complete(
    caller: Caller, upload_id: str, parts: Sequence[Part] = (), **checksums: Any
) -> Upload:
    request = upload_service_pb2.CompleteUploadRequest(
        upload_id=upload_id, checksums=Checksums(**checksums), parts=parts
    )
    return await caller.call(caller.uploads.CompleteUpload, request)


async def listed(caller: Caller, upload_id: str, page_size: int = 0) -> list[Part]:
    found: list[Part] = []
    request = upload_service_pb2.ListPartsRequest(upload_id=upload_id, page_size=page_size)
    while True:
        page = await caller.call(caller.uploads.ListParts, request)
        found += [without_etag(part) for part in page.parts]
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def files(folder: Path) -> list[Path]:
    return blob_files(folder / "raw")


async def sign(caller: Caller, upload_id: str, *parts: upload_pb2.Part) -> Any:
    request = upload_service_pb2.SignUploadRequest(upload_id=upload_id, parts=parts)
    return await caller.call(caller.uploads.SignUpload, request)


async def put_signed(caller: Caller, token: str, data: bytes) -> Part:
    """Uploads to a signed URL without a token."""

    async def pieces() -> AsyncIterator[upload_service_pb2.PutSignedRequest]:
        for at in range(0, len(data), MIB):
            message = upload_service_pb2.PutSignedRequest(token=token if at == 0 else "")
            message.body.data = data[at : at + MIB]
            yield message

    stored: Part = await caller.uploads.PutSigned(pieces())
    return stored
