"""A sound as it is after all that a pipeline does to it, but for its loudness."""

from collections.abc import Callable, Mapping
from typing import Any

from media_service.codecs.video import filter_graph as graph
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.source import AvSource
from media_service.errors import FailedPrecondition, Reason


def edited(film: AvSource, edits: Edits, file: int, channels: int | None = None) -> graph.Node:
    """The first sound of a film. `channels`: 1 or 2, what it is mixed down to.

    Raises FailedPrecondition (OPERATION_NOT_APPLICABLE) if there is none.
    """
    if not film.sounds or edits.mute:
        raise no_sound()
    stream = graph.Part.of(film, edits, file).sound(film.sounds[0][0])
    if film.has_video:  # it may begin later than they do, or pause
        stream = stream.filter("aresample", **{"async": 1, "first_pts": 0})
    if channels:
        stream = stream.filter("aformat", channel_layouts="mono" if channels == 1 else "stereo")
    stream = graph.sound_faster(stream, edits)
    for name, message in edits.later:
        stream = LATER[name](stream, message)
    return stream


def without_silence(stream: graph.Node, message: Any) -> graph.Node:
    """Keeps so much of each pause, also of those at the beginning and at the end."""
    threshold, kept = f"{message.threshold_db:.6g}dB", f"{message.min_seconds:.6f}"
    return stream.filter(
        "silenceremove",
        start_periods=1,
        start_threshold=threshold,
        start_silence=kept,
        stop_periods=-1,
        stop_threshold=threshold,
        stop_duration=kept,
    )


def clipped(stream: graph.Node, message: Any) -> graph.Node:
    options = {"start": f"{message.start_seconds:.6f}"}
    if message.HasField("end_seconds"):
        options["end"] = f"{message.end_seconds:.6f}"
    return trimmed(stream, **options)


def trimmed(stream: graph.Node, **options: str) -> graph.Node:
    return stream.filter("atrim", **options).filter("asetpts", "PTS-STARTPTS")


LATER: Mapping[str, Callable[[graph.Node, Any], graph.Node]] = {
    "remove_silence": without_silence,
    "clip": clipped,
    "speed": lambda stream, message: graph.paced(stream, message.factor),
}


def no_sound() -> FailedPrecondition:
    return FailedPrecondition(Reason.OPERATION_NOT_APPLICABLE, "There is no sound in it.")
