"""Renders audio and video files by a pipeline."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from media_service.codecs.av_renderer import AvRenderer
from media_service.codecs.inspector import Inspector
from media_service.codecs.output import Output
from media_service.codecs.pipeline.route import find_route
from media_service.codecs.video.source import AvSource
from media_service.media.model import Kind

TYPES = {
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".ogg": "audio/ogg",
    ".flac": "audio/flac",
    ".wav": "audio/wav",
    ".mkv": "video/x-matroska",
}

# Takes a file and a pipeline. What it makes is there until the test ends.
Make = Callable[[Path, str], Awaitable[Output]]


@pytest.fixture
async def make(inspector: Inspector, av_renderer: AvRenderer) -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:

        async def one(path: Path, ops: str) -> Output:
            reported: list[float] = []
            source, kind = await inspected(inspector, path)
            made = av_renderer.render(
                source, find_route(ops, kind).steps, {}, reported.append, name="made"
            )
            (only,) = await stack.enter_async_context(made)
            assert reported == sorted(reported)
            assert all(0 <= part <= 1 for part in reported)
            return only

        yield one


async def inspected(inspector: Inspector, path: Path) -> tuple[AvSource, Kind]:
    """A file as inspection finds it."""
    content_type = TYPES[path.suffix]
    kind = Kind.VIDEO if content_type.startswith("video") else Kind.AUDIO
    found = await inspector.inspect(path, kind, content_type)
    return AvSource.of(path, content_type, found.info), kind
