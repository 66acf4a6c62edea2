"""Renders in a service's cache."""

from media_service.blobs.writing import measure
from media_service.codecs.pipeline.validation import parsed_pipeline
from media_service.renders.cache import (
    RenderCache,
)
from media_service.renders.model import Render, RenderSpec
from tests.support.killable_renditions import RenditionHarness


async def render_spec(
    harness: RenditionHarness, media_id: str, ops: str = "resize:20x"
) -> RenderSpec:
    media = await harness.there(media_id)
    return RenderSpec(media, {}, parsed_pipeline(ops), negotiated=False, charged=media.owner)


def made(data: bytes) -> Render:
    return Render(data, "image/webp", *measure(data))


async def keep(harness: RenditionHarness, asked: RenderSpec, data: bytes = b"a render") -> None:
    """Stores a render, like a process that stops right afterwards."""
    cache = RenderCache(harness.database, harness.raw)
    cache.store_later(asked, made(data), data)
    await cache.close()


async def find(harness: RenditionHarness, asked: RenderSpec) -> Render | None:
    return await RenderCache(harness.database, harness.raw).find(asked)


async def count(harness: RenditionHarness) -> int:
    return len(await harness.execute("select 1 from renders"))
