"""The first audio track of a source after all edits except loudness normalization."""

from collections.abc import Callable, Mapping
from typing import Any

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.video import filter_graph as graph
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.source import AvSource
from media_service.errors import FailedPrecondition, Reason


def edited_track(
    source: AvSource, edits: Edits, file: int, channels: int | None = None
) -> graph.Node:
    """Returns the edited first audio track, mixed down to `channels` (1 or 2) if set.
    Raises FailedPrecondition (OPERATION_NOT_APPLICABLE) if there is none.
    """
    if not source.audio_tracks or edits.mute:
        raise no_audio_track()
    node = graph.TrimmedInput.of(source, edits, file).audio_track(source.audio_tracks[0][0])
    if source.has_video:  # the audio may begin later than the video, or have gaps
        node = node.filter("aresample", **{"async": 1, "first_pts": 0})
    if channels:
        node = node.filter("aformat", channel_layouts="mono" if channels == 1 else "stereo")
    node = graph.change_tempo(node, edits.speed)
    for name, message in edits.audio_steps:
        node = AUDIO_STEPS[name](node, message)
    return node


def without_silence(node: graph.Node, message: Operation.RemoveSilence) -> graph.Node:
    """Shortens every pause to the given length, including those at the beginning and the end."""
    threshold, kept = f"{message.threshold_db:.6g}dB", f"{message.min_seconds:.6f}"
    return node.filter(
        "silenceremove",
        start_periods=1,
        start_threshold=threshold,
        start_silence=kept,
        stop_periods=-1,
        stop_threshold=threshold,
        stop_duration=kept,
    )


def clipped(node: graph.Node, message: Operation.Clip) -> graph.Node:
    options = {"start": f"{message.start_seconds:.6f}"}
    if message.HasField("end_seconds"):
        options["end"] = f"{message.end_seconds:.6f}"
    return node.filter("atrim", **options).filter("asetpts", "PTS-STARTPTS")


AUDIO_STEPS: Mapping[str, Callable[[graph.Node, Any], graph.Node]] = {
    "remove_silence": without_silence,
    "clip": clipped,
    "speed": lambda node, message: graph.change_tempo(node, message.factor),
}


def no_audio_track() -> FailedPrecondition:
    return FailedPrecondition(
        Reason.OPERATION_NOT_APPLICABLE, "The media has no audio track that can be used."
    )
