"""Images that are large when decoded."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pyvips

from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.inspector import Inspector
from media_service.codecs.sandbox.forks import ForkServer
from tests.support.media import format_files
from tests.support.media.images import render

MAX_PIXELS = 40_000_000
FILES = Path(format_files.__file__).parent


@pytest.fixture(scope="module")
async def inspector(fork_server: ForkServer) -> AsyncIterator[Inspector]:
    async with Inspector(fork_server, MAX_PIXELS, children=1) as inspector:
        yield inspector


@pytest.fixture(scope="module")
async def renderer(fork_server: ForkServer) -> AsyncIterator[ImageRenderer]:
    async with ImageRenderer(fork_server, 1, MAX_PIXELS, 1 << 30) as renderer:
        yield renderer


# More than 100 MB, which libvips would decode into a file: one frame, and 60 frames.
@pytest.mark.parametrize(
    ("name", "size", "frames"), [("large", (6000, 6000), 1), ("long", (800, 800), 60)]
)
async def test_more_than_100_mb_are_decoded_in_memory(
    inspector: Inspector,
    renderer: ImageRenderer,
    name: str,
    size: tuple[int, int],
    frames: int,
) -> None:
    path = FILES / f"{name}.webp"
    info = (await inspector.inspect(path, "IMAGE", "image/webp")).info
    assert (info.width, info.height, info.page_count) == (*size, frames)
    _, data = await render(renderer, path, "crop:9x9,convert:WEBP:lossless")
    made = pyvips.Image.new_from_buffer(data, "", n=-1)
    assert (made.width, made.height > 9) == (9, frames > 1)
