"""Creates image files and renders them."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pyvips

from media_service.codecs.image.source import ImageSource
from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.pipeline.pipeline import stored_pipeline
from media_service.errors import MediaError, Reason

TYPES = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "tiff": "image/tiff",
    "avif": "image/avif",
    "heic": "image/heic",
    "svg": "image/svg+xml",
}


def source(path: Path) -> ImageSource:
    """A file with its inspection result."""
    image = pyvips.Image.new_from_file(str(path))
    size = image.width, image.height
    if image.get_typeof("orientation") and image.get("orientation") >= 5:
        size = size[1], size[0]
    frames = image.get("n-pages") if image.get_typeof("n-pages") else 1
    return ImageSource(path, TYPES[path.suffix[1:]], *size, frames)


async def render(
    renderer: ImageRenderer, path: Path, pipeline: str = "", deliver: Sequence[str] = ()
) -> tuple[str, bytes]:
    """The content type and bytes of the rendered image."""
    async with renderer.render(source(path), stored_pipeline(pipeline), deliver=deliver) as made:
        data = made.path.read_bytes()
        image = pyvips.Image.new_from_buffer(data, "")
        assert (image.width, image.height, len(data)) == (made.width, made.height, made.size_bytes)
        return made.content_type, data


async def look(renderer: ImageRenderer, path: Path, pipeline: str = "") -> Any:
    """The rendered image, encoded without loss."""
    _, data = await render(renderer, path, f"{pipeline},convert:PNG".removeprefix(","))
    return pyvips.Image.new_from_buffer(data, "").copy_memory()


async def refusal(renderer: ImageRenderer, original: Path | ImageSource, pipeline: str) -> Reason:
    given = source(original) if isinstance(original, Path) else original
    with pytest.raises(MediaError) as error:
        async with renderer.render(given, stored_pipeline(pipeline)):
            pass
    return error.value.reason


def corners(width: int = 80, height: int = 60) -> Any:
    """An image with red, green, blue and white corners, clockwise from the top left."""
    image = pyvips.Image.black(width, height, bands=3).copy(interpretation="srgb")
    half = width // 2, height // 2
    for color, x, y in (
        ([255, 0, 0], 0, 0),
        ([0, 255, 0], half[0], 0),
        ([0, 0, 255], half[0], half[1]),
        ([255, 255, 255], 0, half[1]),
    ):
        image = image.draw_rect(color, x, y, *half, fill=True)
    return image


def four(image: Any) -> str:
    """The first letters of the colors of the four corners, clockwise from the top left."""
    x, y = image.width - 4, image.height - 4
    return "".join(name(image(*place)) for place in ((3, 3), (x, 3), (x, y), (3, y)))


def name(pixel: Sequence[float]) -> str:
    """The approximate color: JPEG and profiles change it a little."""
    bright = "".join("1" if value > 128 else "0" for value in pixel[:3])
    if len(pixel) == 4 and pixel[3] < 128:
        return "-"
    return {"100": "r", "010": "g", "001": "b", "111": "w", "000": "k", "110": "y"}[bright]


Make = Callable[..., Awaitable[pyvips.Image]]

OVERLAY = "0190163d-8694-739b-aea5-966c26f8ad91"
