"""Placeholders (BlurHash, dominant color) of media other than images."""

import asyncio

import pytest
from mediaservice.v1 import download_service_pb2, media_pb2, media_service_pb2

from tests.support.media.numbered_frames import counted
from tests.support.media.pdf_files import RED, Page, pdf, square
from tests.support.rpc.server import Caller, Start


@pytest.fixture
async def ann(start: Start) -> Caller:
    service = await start(
        work=True, video_presets="poster=frame:1,resize:100x", document_presets="preview=page"
    )
    return await service.caller()


async def with_rendition(caller: Caller, media_id: str, name: str) -> media_pb2.Media:
    """The media after it has the rendition, and with it a placeholder."""
    request = media_service_pb2.GetMediaRequest(media_id=media_id)
    async with asyncio.timeout(60):
        while True:
            media = await caller.call(caller.media.GetMedia, request)
            there = name in {rendition.name for rendition in media.renditions}
            assert bool(media.blurhash) is bool(media.dominant_color) is there
            if there:
                return media
            await asyncio.sleep(0.02)


async def content(caller: Caller, media_id: str, rendition: str) -> bytes:
    request = download_service_pb2.DownloadRequest(media_id=media_id, rendition=rendition)
    call = caller.downloads.Download(request, metadata=caller.metadata)
    return b"".join([message.data async for message in call])


async def check_same_as_image(caller: Caller, media: media_pb2.Media, rendition: str) -> None:
    """Stores the rendition as an image and checks that both have the same placeholder."""
    data = await content(caller, media.media_id, rendition)
    stored = await caller.store(data, "image")
    image = await with_rendition(caller, stored.media_id, "small")
    assert (image.blurhash, image.dominant_color) == (media.blurhash, media.dominant_color)


async def test_a_video_has_the_placeholder_of_its_poster(ann: Caller) -> None:
    stored = await ann.store_all(counted(4, "5", "256x144"))
    media = await with_rendition(ann, stored.media_id, "poster")
    await check_same_as_image(ann, media, "poster")


async def test_a_document_has_the_placeholder_of_its_first_page(ann: Caller) -> None:
    stored = await ann.store(pdf(Page(square(RED, 0, 0)), Page()), "report.pdf")
    media = await with_rendition(ann, stored.media_id, "preview")
    await check_same_as_image(ann, media, "preview")
