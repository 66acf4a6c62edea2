"""Uploads that are created, written and completed."""

from typing import Any

from mediaservice.v1 import checksums_pb2, upload_pb2, upload_service_pb2

from tests.support.rpc.server import Caller
from tests.support.rpc.streams_of_writes import Message

Checksums = checksums_pb2.Checksums

Upload = upload_pb2.Upload


async def complete(caller: Caller, upload_id: str, **checksums: Any) -> Upload:
    request = upload_service_pb2.CompleteUploadRequest(
        upload_id=upload_id, checksums=Checksums(**checksums)
    )
    return await caller.call(caller.uploads.CompleteUpload, request)


async def abort(caller: Caller, upload_id: str) -> Upload:
    request = upload_service_pb2.AbortUploadRequest(upload_id=upload_id)
    return await caller.call(caller.uploads.AbortUpload, request)


async def write(caller: Caller, upload_id: str, data: bytes, offset: int = 0) -> Upload:
    return await caller.write([Message(upload_id=upload_id, offset=offset, data=data)])
