"""Many pictures of a film, in a ZIP file."""

import zipfile
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

from media_service.codecs.output import Output
from media_service.codecs.progress import ProgressCallback
from media_service.codecs.sandbox.exit_cause import corrupt
from media_service.codecs.video import filter_graph as graph
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.frame_sampler import FrameSampler
from media_service.codecs.video.source import AvSource
from media_service.temporary_files import temporary_file

MOST = 1000
JPEG = {"format": "image2", "vcodec": "mjpeg", "q:v": 3}
# Of every file, so that the same film makes the same ZIP.
LONG_AGO = (1980, 1, 1, 0, 0, 0)


async def frames(
    stack: AsyncExitStack, film: AvSource, edits: Edits, message: Any, told: ProgressCallback
) -> Output:
    """JPEGs named by the milliseconds of the result at which they are seen, not compressed once
    more. Raises as `Program.wait`."""
    size = graph.within((film.width, film.height), message.width)
    interval = max(message.interval_seconds, edits.seconds / MOST)
    count = max(1, min(MOST, -int(-edits.seconds // interval)))
    series = FrameSampler(size, interval, count, "yuvj420p", JPEG, exact=True)
    file = stack.enter_context(temporary_file("media-render-"))
    number = found = 0
    with zipfile.ZipFile(file, "w") as archive:
        async with aclosing(series.shots(film, edits, told)) as shots:
            async for shot in shots:
                if shot:
                    name = zipfile.ZipInfo(f"{round(number * interval * 1000):08d}.jpg", LONG_AGO)
                    archive.writestr(name, shot)
                    found += 1
                number += 1
    if not found:
        raise corrupt("The film has no picture that can be decoded.")
    file.flush()
    return Output(Path(file.name), "application/zip", *size)
