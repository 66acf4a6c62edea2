"""Fixtures that render images as in production: from files, in the sandbox."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import pyvips

from docs.scene import logo, scene
from media_service.codecs.image.source import ImageSource
from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.pipeline.validation import parsed_pipeline
from media_service.codecs.sandbox.forks import ForkServer
from tests.support.media.images import OVERLAY, Make


@pytest.fixture(scope="session")
async def renderer(fork_server: ForkServer) -> AsyncIterator[ImageRenderer]:
    async with ImageRenderer(fork_server, 2, 50_000_000, 1 << 30) as renderer:
        yield renderer


@pytest.fixture(scope="session")
def sample() -> pyvips.Image:
    """The source image of the golden images."""
    return scene(120, 80)


@pytest.fixture
def make(renderer: ImageRenderer, sample: pyvips.Image, tmp_path: Path) -> Make:
    """Renders the sample losslessly with a pipeline, whose overlay is the logo."""

    def source(image: pyvips.Image, name: str) -> ImageSource:
        path = tmp_path / f"{name}.png"
        image.pngsave(str(path), compression=1)
        return ImageSource(path, "image/png", image.width, image.height, 1)

    async def make(
        pipeline: str,
        image: pyvips.Image = sample,
        overlays: Mapping[str, pyvips.Image] | None = None,
    ) -> pyvips.Image:
        named = {OVERLAY: logo()} if overlays is None else overlays
        used = {name: source(layer, name) for name, layer in named.items() if name in pipeline}
        parsed = parsed_pipeline(f"{pipeline},convert:PNG".removeprefix(","))
        async with renderer.render(source(image, "image"), parsed, overlays=used) as rendered:
            return pyvips.Image.new_from_buffer(rendered.path.read_bytes(), "").copy_memory()

    return make
