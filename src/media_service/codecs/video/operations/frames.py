"""`frames`: many frames of a video, in a ZIP file."""

import zipfile
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

from media_service.codecs.av_task import AvTask
from media_service.codecs.output import Output
from media_service.codecs.video.errors import no_decodable_frame
from media_service.codecs.video.filter_graph import fit_width
from media_service.codecs.video.frame_sampler import FrameSampler
from media_service.temporary_files import temporary_file

MAX_FRAMES = 1000
JPEG = {"format": "image2", "vcodec": "mjpeg", "q:v": 3}
# A fixed file time, so that the same video gives the same ZIP file.
FILE_TIME = (1980, 1, 1, 0, 0, 0)


async def render(task: AvTask) -> Sequence[Output]:
    """Renders a ZIP file of JPEGs, stored without compression. Their names are their times in
    milliseconds of the output. Raises the errors of `Program.wait`."""
    source, edits, message = task.source, task.edits, task.message
    size = fit_width((source.width, source.height), message.max_width)
    interval = max(message.interval_seconds, edits.seconds / MAX_FRAMES)
    count = max(1, min(MAX_FRAMES, -int(-edits.seconds // interval)))
    sampler = FrameSampler(size, interval, count, "yuvj420p", JPEG, exact=True)
    file = task.stack.enter_context(temporary_file("media-render-"))
    number = covered = 0
    with zipfile.ZipFile(file, "w") as archive:
        async with aclosing(sampler.frames(source, edits, task.report)) as frames:
            async for frame in frames:
                if frame:
                    name = f"{round(number * interval * 1000):08d}.jpg"
                    archive.writestr(zipfile.ZipInfo(name, FILE_TIME), frame)
                    covered = number + 1
                number += 1
    if not covered:
        raise no_decodable_frame()
    file.flush()
    return [Output(Path(file.name), "application/zip", *size, seconds=covered * interval)]
