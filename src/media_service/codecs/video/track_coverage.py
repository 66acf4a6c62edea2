"""Finds tracks that are empty within a clip: a track may end long before the file does, or begin
long after it."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import msgspec

from media_service.codecs.ffmpeg.run import open_file, run_ffmpeg
from media_service.codecs.sandbox.limits import ResourceLimits
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.filter_graph import Node, TrimmedInput
from media_service.codecs.video.source import AvSource
from media_service.errors import FailedPrecondition, Reason

# framecrc writes a line per frame; the lines of its header begin with #.
CHECKSUMS = {"format": "framecrc"}
ONE_VIDEO_FRAME = {"vcodec": "wrapped_avframe", "vframes": 1, **CHECKSUMS}
ONE_AUDIO_FRAME = {"acodec": "pcm_s16le", "aframes": 1, **CHECKSUMS}
VIDEO = "video"


async def without_empty_tracks(source: AvSource, edits: Edits, *, needs_video: bool) -> AvSource:
    """Returns the source without the audio tracks that are empty within a clip.

    Raises the errors of `Program.wait`, and FailedPrecondition (OPERATION_NOT_APPLICABLE) if the
    video track is empty and `needs_video`, or if every audio track is empty and not `needs_video`.
    """
    if edits.start <= 0 and edits.end >= source.duration_seconds:
        return source
    tracks = () if edits.mute else source.audio_tracks
    async with AsyncExitStack() as stack:
        file = stack.enter_context(open_file(source.path))
        trimmed = TrimmedInput.of(source, edits, file)
        outputs = {
            f"{index}": trimmed.audio_track(index).output(f"{index}", **ONE_AUDIO_FRAME)
            for index, _ in tracks
        }
        if needs_video:
            outputs[VIDEO] = trimmed.video_track().output(VIDEO, **ONE_VIDEO_FRAME)
        found = await nonempty_outputs(outputs, [file], source.limits) if outputs else set()
    if VIDEO not in found if needs_video else tracks and not found:
        raise nothing_left("video" if needs_video else "audio")
    all_audio_tracks = [
        track if edits.mute or f"{index}" in found else msgspec.structs.replace(track, codec="")
        for index, track in enumerate(source.all_audio_tracks)
    ]
    return replace(source, all_audio_tracks=all_audio_tracks)


async def nonempty_outputs(
    outputs: Mapping[str, Node], files: Sequence[int], limits: ResourceLimits
) -> set[str]:
    """Returns the names of those `outputs`, in the format `framecrc`, that have a frame. Raises the
    errors of `Program.wait`."""
    async with run_ffmpeg(list(outputs.values()), files, limits=limits) as program:
        await program.wait()
        texts = {name: (program.folder / name).read_text() for name in outputs}
    return {
        name
        for name, text in texts.items()
        if any(not line.startswith("#") for line in text.splitlines())
    }


def nothing_left(track: str) -> FailedPrecondition:
    return FailedPrecondition(
        Reason.OPERATION_NOT_APPLICABLE, f"The {track} track is empty within the clip."
    )
