"""Playlists and segments of HLS and DASH streams."""

import re

from mediaservice.v1 import download_service_pb2

from tests.support.rpc.server import Caller


async def read(caller: Caller, media_id: str, path: str) -> bytes:
    request = download_service_pb2.GetStreamRequest(media_id=media_id, path=path)
    call = caller.downloads.GetStream(request, metadata=caller.metadata)
    return b"".join([message.data async for message in call])


async def text(caller: Caller, media_id: str, path: str) -> str:
    return (await read(caller, media_id, path)).decode()


async def playlists(caller: Caller, media_id: str) -> list[str]:
    master = await text(caller, media_id, "master.m3u8")
    return re.findall(r"^(?!#).+$", master, re.MULTILINE)
