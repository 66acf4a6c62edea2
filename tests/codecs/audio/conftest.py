"""What a pipeline makes of a sound, or of a film."""

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
async def make(inspector: Inspector, films: AvRenderer) -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:

        async def one(path: Path, ops: str) -> Output:
            told: list[float] = []
            film, kind = await filmed(inspector, path)
            made = films.render(film, find_route(ops, kind).steps, {}, told.append, name="made")
            (only,) = await stack.enter_async_context(made)
            assert told == sorted(told)
            assert all(0 <= part <= 1 for part in told)
            return only

        yield one


async def filmed(inspector: Inspector, path: Path) -> tuple[AvSource, Kind]:
    """A file as inspection finds it."""
    content_type = TYPES[path.suffix]
    kind = Kind.VIDEO if content_type.startswith("video") else Kind.AUDIO
    found = await inspector.inspect(path, kind, content_type)
    return AvSource.of(path, content_type, found.info), kind
