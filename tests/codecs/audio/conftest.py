"""Fixtures that render audio and video files."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from media_service.codecs.av_renderer import AvRenderer
from media_service.codecs.inspector import Inspector
from media_service.codecs.output import Output
from media_service.codecs.pipeline.pipeline import stored_pipeline
from media_service.codecs.pipeline.route import find_route
from tests.support.media.audio import Make, inspected


@pytest.fixture
async def make(inspector: Inspector, av_renderer: AvRenderer) -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:

        async def one(path: Path, ops: str) -> Output:
            reported: list[float] = []
            source, kind = await inspected(inspector, path)
            steps = find_route(stored_pipeline(ops), kind).steps
            made = av_renderer.render(source, steps, {}, reported.append, name="made")
            (only,) = await stack.enter_async_context(made)
            assert reported == sorted(reported)
            assert all(0 <= part <= 1 for part in reported)
            return only

        yield one
