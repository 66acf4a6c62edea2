"""Adds renditions to media of a running service, like a job."""

from collections.abc import Mapping

from media_service import app
from media_service.config import load
from media_service.media.model import NewRendition
from media_service.renditions.rendition_store import RenditionStore


async def give(environ: Mapping[str, str], media_id: str, name: str, data: bytes) -> None:
    """Adds a rendition directly to the database and the stores in the settings."""
    async with app.base(load(environ)) as parts:
        renditions = RenditionStore(parts.database, parts.stores)
        await renditions.add(media_id, NewRendition(name, "image/webp"), data)
