"""Calls that have to do with versions of media."""

import asyncio
from collections.abc import Callable
from typing import Any

from mediaservice.v1 import (
    download_service_pb2,
    media_pb2,
    media_service_pb2,
    upload_pb2,
    upload_service_pb2,
)

from tests.support.rpc.catalogue import get
from tests.support.rpc.server import Caller

Media = media_pb2.Media


async def replaced(caller: Caller, media_id: str, data: bytes, **spec: Any) -> upload_pb2.Upload:
    """Replaces the file of a media in one step."""
    message = upload_service_pb2.WriteUploadRequest(data=data, finish=True)
    message.spec.MergeFrom(upload_pb2.UploadSpec(media_id=media_id, **spec))
    return await caller.write([message])


async def until(caller: Caller, media_id: str, condition: Callable[[Media], bool]) -> Media:
    async with asyncio.timeout(30):
        while not condition(media := await get(caller, media_id)):
            await asyncio.sleep(0.05)
    return media


async def until_version(caller: Caller, media_id: str, version: int) -> Media:
    """Waits until this version is the current one."""
    return await until(caller, media_id, lambda m: m.version == version and m.state == Media.READY)


async def versions(caller: Caller, media_id: str, **fields: Any) -> list[media_pb2.MediaVersion]:
    request = media_service_pb2.ListVersionsRequest(media_id=media_id, **fields)
    return list((await caller.call(caller.media.ListVersions, request)).versions)


async def version(caller: Caller, media_id: str, number: int) -> media_pb2.MediaVersion:
    request = media_service_pb2.GetVersionRequest(media_id=media_id, version=number)
    return await caller.call(caller.media.GetVersion, request)


async def restore(
    caller: Caller, media_id: str, number: int, etag: str = ""
) -> media_pb2.MediaVersion:
    request = media_service_pb2.RestoreVersionRequest(media_id=media_id, version=number, etag=etag)
    return await caller.call(caller.media.RestoreVersion, request)


async def delete_version(caller: Caller, media_id: str, number: int) -> None:
    request = media_service_pb2.DeleteVersionRequest(media_id=media_id, version=number)
    await caller.call(caller.media.DeleteVersion, request)


async def content(caller: Caller, media_id: str, number: int, rendition: str = "") -> bytes:
    """The content of a version."""
    request = download_service_pb2.DownloadRequest(
        media_id=media_id, version=number, rendition=rendition
    )
    call = caller.downloads.Download(request, metadata=caller.metadata)
    return b"".join([message.data async for message in call])
