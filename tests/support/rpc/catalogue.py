"""Calls of MediaService."""

import asyncio
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from mediaservice.v1 import media_pb2, media_service_pb2

from tests.support.rpc.server import Caller

Media = media_pb2.Media


async def get(
    caller: Caller, media_id: str, view: "Media.View.ValueType" = Media.VIEW_UNSPECIFIED
) -> Media:
    request = media_service_pb2.GetMediaRequest(media_id=media_id, view=view)
    return await caller.call(caller.media.GetMedia, request)


async def listed(caller: Caller, **fields: Any) -> list[Media]:
    request = media_service_pb2.ListMediaRequest(**fields)
    return list((await caller.call(caller.media.ListMedia, request)).media)


async def names(caller: Caller, **fields: Any) -> list[str]:
    return [media.filename for media in await listed(caller, **fields)]


async def update(caller: Caller, paths: list[str], **media: Any) -> Media:
    request = media_service_pb2.UpdateMediaRequest(
        media=Media(**media), update_mask=FieldMask(paths=paths)
    )
    return await caller.call(caller.media.UpdateMedia, request)


async def delete(caller: Caller, media_id: str, etag: str = "") -> Media:
    request = media_service_pb2.DeleteMediaRequest(media_id=media_id, etag=etag)
    return await caller.call(caller.media.DeleteMedia, request)


async def undelete(caller: Caller, media_id: str) -> Media:
    request = media_service_pb2.UndeleteMediaRequest(media_id=media_id)
    return await caller.call(caller.media.UndeleteMedia, request)


async def purge(caller: Caller, media_id: str) -> None:
    request = media_service_pb2.PurgeMediaRequest(media_id=media_id)
    await caller.call(caller.media.PurgeMedia, request)


async def delete_rendition(caller: Caller, media_id: str, name: str, etag: str = "") -> Media:
    request = media_service_pb2.DeleteRenditionRequest(media_id=media_id, rendition=name, etag=etag)
    return await caller.call(caller.media.DeleteRendition, request)


async def until_done(caller: Caller, media_id: str) -> Media:
    async with asyncio.timeout(30):
        while True:
            media = await get(caller, media_id)
            if media.state in {Media.READY, Media.FAILED}:
                return media
            await asyncio.sleep(0.05)
