"""Whether there is anything where it is wanted: pictures and sounds of a film may end long before
it does, and begin long after."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from media_service.codecs.ffmpeg import run as coder
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.filter_graph import Node, Part
from media_service.codecs.video.source import AvSource
from media_service.errors import FailedPrecondition, Reason

# Writes a line for each picture or piece of sound; lines of its header begin with #.
LINES = {"format": "framecrc"}
PICTURES = {"vcodec": "wrapped_avframe", "vframes": 1, **LINES}
SOUND = {"acodec": "pcm_s16le", "aframes": 1, **LINES}


async def kept(film: AvSource, edits: Edits, *, pictures: bool) -> AvSource:
    """A film without the sounds of which a clip leaves nothing. `pictures`: they are wanted, too.

    Raises as `Program.wait`, and FailedPrecondition (OPERATION_NOT_APPLICABLE) if nothing is left
    of what is wanted.
    """
    if edits.start <= 0 and edits.end >= film.duration_seconds:
        return film
    sounds = () if edits.mute else film.sounds
    async with AsyncExitStack() as stack:
        file = stack.enter_context(coder.opened(film.path))
        part = Part.of(film, edits, file)
        outputs = {f"{at}": part.sound(at).output(f"{at}", **SOUND) for at, _ in sounds}
        if pictures:
            outputs["pictures"] = part.pictures().output("pictures", **PICTURES)
        there = await present(outputs, [file]) if outputs else set()
    if "pictures" not in there if pictures else sounds and not there:
        raise nothing_left("pictures" if pictures else "sound")
    tracks = [
        track if edits.mute or f"{at}" in there else {**track, "audio_codec": ""}
        for at, track in enumerate(film.tracks)
    ]
    return replace(film, tracks=tracks)


async def present(outputs: Mapping[str, Node], files: Sequence[int]) -> set[str]:
    """The names of those outputs, all as above, that have something. Raises as `Program.wait`."""
    async with coder.coding(list(outputs.values()), files) as program:
        await program.wait()
        texts = {name: (program.folder / name).read_text() for name in outputs}
    return {
        name
        for name, text in texts.items()
        if any(not line.startswith("#") for line in text.splitlines())
    }


def nothing_left(what: str) -> FailedPrecondition:
    return FailedPrecondition(
        Reason.OPERATION_NOT_APPLICABLE, f"Nothing is left of its {what}: the clip has none."
    )
