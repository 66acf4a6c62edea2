"""Calls that have to do with versions of media."""

import asyncio
from collections.abc import Callable
from typing import Any

from mediaservice.v1 import media_pb2, upload_pb2, upload_service_pb2

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
