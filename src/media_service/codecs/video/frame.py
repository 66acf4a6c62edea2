"""One picture of a film."""

import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from media_service.codecs.ffmpeg.run import coding
from media_service.codecs.output import Output
from media_service.codecs.sandbox.exit_cause import corrupt
from media_service.codecs.video import filter_graph as graph
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.source import AvSource
from media_service.codecs.video.track_coverage import PICTURES
from media_service.errors import MediaError

PNG = "image/png"
NAME = "frame.png"
# Of so many pictures that can be shown without others, spread over the film, one is chosen.
CANDIDATES = 100
# Percent of black from which a picture is none of them.
BLACK = 98
# How wide they are when it is chosen.
SMALL = 320
# Less than any picture lasts: a clock that is rounded up would lead to the next one.
SHORT = 0.001
# Before the end, where the last picture is looked for first.
LAST_SECONDS = 1.0


async def frame(stack: AsyncExitStack, film: AvSource, edits: Edits, message: Any) -> Output:
    """A PNG, of the film's own size: at a time, or the one of many that is most like them all
    (ffmpeg's `thumbnail`), and not black unless they all are.

    Raises as `Program.wait`.
    """
    size = (film.width, film.height)
    at = moment(edits, message)
    if at is not None:
        if made := await taken(stack, film, edits, size, at) or await last(
            stack, film, edits, size, at
        ):
            return made
        raise unseen()
    at = await telling(film, edits)
    if made := await taken(stack, film, edits, size, edits.start if at is None else at):
        return made
    raise unseen()


def unseen() -> MediaError:
    return corrupt("The film has no picture that can be decoded.")


def moment(edits: Edits, message: Any) -> float | None:
    """In seconds of the original."""
    if message.HasField("time_seconds"):
        wanted = float(message.time_seconds) * edits.factor
    elif message.HasField("percent"):
        wanted = (edits.end - edits.start) * float(message.percent) / 100
    else:
        return None
    return min(edits.start + wanted, edits.end)


async def taken(
    stack: AsyncExitStack, film: AvSource, edits: Edits, size: graph.Size, start: float
) -> Output | None:
    """The first picture from `start` on."""
    rest = replace(edits, start=start, end=film.duration_seconds, factor=1.0)
    drawn = graph.drawn(stack, film, rest, size, pixels="rgb24")
    return await written(stack, drawn.pictures, drawn.files, size)


async def last(
    stack: AsyncExitStack, film: AvSource, edits: Edits, size: graph.Size, end: float
) -> Output | None:
    """The last picture before `end`, behind which there is none: looked for from further and
    further back."""
    back = LAST_SECONDS
    while True:
        start = max(edits.start, end - back)
        rest = replace(edits, start=start, end=film.duration_seconds, factor=1.0)
        # With a rate, without which what follows would not know how long pictures last.
        rate = {"fps": film.frame_rate}
        drawn = graph.drawn(stack, film, rest, size, rate=rate, pixels="rgb24")
        # The last goes on for ever, and so until the end.
        stream = drawn.pictures.filter("tpad", stop=-1, stop_mode="clone")
        stream = stream.filter("trim", start=f"{end - start:.6f}")
        made = await written(stack, stream, drawn.files, size)
        if made or start == edits.start:
            return made
        back *= 2


async def telling(film: AvSource, edits: Edits) -> float | None:
    """When it is seen, in seconds of the original. Looks at key frames only, which is a hundredth
    of the work, and at small copies, for they are all held until one is chosen."""
    size = graph.scaled(graph.within((film.width, film.height), SMALL), None)
    async with AsyncExitStack() as stack:
        rest = replace(edits, factor=1.0, mark=None)
        drawn = graph.drawn(stack, film, rest, size, skip_frame="nokey")
        stream = drawn.pictures.filter("blackframe", 0)
        black = {"key": "lavfi.blackframe.pblack", "value": BLACK, "function": "less"}
        stream = stream.filter("metadata", "select", **black).filter("thumbnail", CANDIDATES)
        output = stream.output(NAME, **PICTURES, fps_mode="passthrough")
        program = await stack.enter_async_context(coding(output, drawn.files))
        await program.wait()
        text = (program.folder / NAME).read_text()
    base = re.search(r"^#tb 0: (\d+)/(\d+)$", text, re.MULTILINE)
    found = re.search(r"^0, +-?\d+, +(-?\d+),", text, re.MULTILINE)
    if not (base and found):
        return None
    seconds = int(found[1]) * int(base[1]) / int(base[2])
    return max(edits.start, edits.start + seconds - SHORT)


async def written(
    stack: AsyncExitStack, stream: graph.Node, files: Sequence[int], size: graph.Size
) -> Output | None:
    output = stream.output(NAME, vframes=1, vcodec="png", pred="none", compression_level=1)
    program = await stack.enter_async_context(coding(output, files))
    await program.wait()
    path = program.folder / NAME
    return Output(path, PNG, *size) if path.exists() else None
