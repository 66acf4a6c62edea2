"""Calls of CopyMedia."""

from typing import Any

from mediaservice.v1 import media_pb2, media_service_pb2

from tests.support.rpc.server import Caller


async def copy(caller: Caller, media_id: str, **fields: Any) -> media_pb2.Media:
    request = media_service_pb2.CopyMediaRequest(media_id=media_id, **fields)
    return await caller.call(caller.media.CopyMedia, request)
