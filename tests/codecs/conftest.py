"""The inspector and the video and audio renderer, with real child processes."""

from collections.abc import AsyncIterator

import pytest

from media_service.codecs.av_renderer import AvRenderer
from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.inspector import Inspector
from media_service.codecs.sandbox.forks import ForkServer

PROFILES = {240: 400, 480: 1400, 1080: 5000}


@pytest.fixture(scope="session")
async def inspector(fork_server: ForkServer) -> AsyncIterator[Inspector]:
    async with Inspector(fork_server, max_pixels=1_000_000, children=2) as inspector:
        yield inspector


@pytest.fixture(scope="session")
async def av_renderer(fork_server: ForkServer, inspector: Inspector) -> AsyncIterator[AvRenderer]:
    async with ImageRenderer(fork_server, 1, 10_000_000, 1 << 28) as renderer:
        yield AvRenderer(renderer, inspector, PROFILES)
