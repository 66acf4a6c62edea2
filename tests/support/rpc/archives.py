"""Calls of ArchiveService."""

from typing import Any

from mediaservice.v1 import archive_service_pb2

from tests.support.rpc.server import Caller


async def create_archive(
    caller: Caller, *media_ids: str, **fields: Any
) -> archive_service_pb2.Archive:
    request = archive_service_pb2.CreateArchiveRequest(media_ids=media_ids, **fields)
    return await caller.call(caller.archives.CreateArchive, request)


async def archive_content(caller: Caller, archive_id: str, *headers: tuple[str, str]) -> bytes:
    request = archive_service_pb2.GetArchiveContentRequest(archive_id=archive_id)
    call = caller.archives.GetArchiveContent(request, metadata=(*caller.metadata, *headers))
    return b"".join([body.data async for body in call])
