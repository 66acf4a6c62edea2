"""Renders in the cache of a service."""

from media_service.blobs.writing import measure
from media_service.codecs.pipeline.validation import parsed_pipeline
from media_service.renders.cache import (
    RenderCache,
)
from media_service.renders.model import Render, RenderSpec
from tests.support.killable_renditions import House


async def render_spec(house: House, media_id: str, ops: str = "resize:20x") -> RenderSpec:
    return RenderSpec(await house.there(media_id), {}, parsed_pipeline(ops), negotiated=False)


def made(data: bytes) -> Render:
    return Render(data, "image/webp", *measure(data))


async def keep(house: House, asked: RenderSpec, data: bytes = b"a render") -> None:
    """Stores a render, as a process does that stops right after."""
    cache = RenderCache(house.database, house.raw)
    cache.store_later(asked, made(data), data)
    await cache.close()


async def find(house: House, asked: RenderSpec) -> Render | None:
    return await RenderCache(house.database, house.raw).find(asked)


async def count(house: House) -> int:
    return len(await house.execute("select 1 from renders"))
