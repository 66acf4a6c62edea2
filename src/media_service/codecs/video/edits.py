"""The edits that a pipeline makes to a video or audio file, independent of the output."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.pipeline.pipeline import Step
from media_service.errors import FailedPrecondition, Reason

# The operations that `collect_edits` collects. `audio` and `transcode` only configure the encoding
# of the output, regardless of their position.
EDITS = {
    *("clip", "speed", "remove_silence", "mute", "normalize", "watermark"),
    *("audio", "transcode"),
}


@dataclass(frozen=True, slots=True)
class Edits:
    """The edits of a pipeline.

    `start` and `end` are the range to keep, in seconds of the original. `speed` is the factor by
    which it plays faster. `normalize`, `watermarks` and `audio` are the messages of these
    operations. `watermark_frame` is a PNG of the video's size with all watermarks. `audio_steps`
    are the first `remove_silence` and all later clips and changes of speed, in order.
    """

    start: float
    end: float
    speed: float = 1.0
    mute: bool = False
    normalize: Operation.Normalize | None = None
    audio: Operation.Audio | None = None
    watermarks: tuple[Operation.Watermark, ...] = field(default=())
    watermark_frame: Path | None = None
    audio_steps: tuple[Step, ...] = field(default=())

    @property
    def seconds(self) -> float:
        """The duration of the output, before `audio_steps`."""
        return max(0.0, self.end - self.start) / self.speed


def collect_edits(steps: Sequence[Step], duration: float) -> tuple[Edits, Sequence[Step]]:
    """Returns the edits, and the steps after them. The times of a clip refer to the output of the
    steps before it.
    Raises FailedPrecondition (OPERATION_NOT_APPLICABLE) if a clip leaves nothing.
    """
    edits = Edits(0.0, duration)
    transcode: Sequence[Step] = ()
    for index, (name, message) in enumerate(steps):
        match name:
            case "clip" | "speed" | "remove_silence" if (
                edits.audio_steps or name == "remove_silence"
            ):
                edits = replace(edits, audio_steps=(*edits.audio_steps, Step(name, message)))
            case "clip":
                edits = clipped(edits, message)
            case "speed":
                edits = replace(edits, speed=edits.speed * message.factor)
            case "mute":
                edits = replace(edits, mute=True)
            case "normalize":
                edits = replace(edits, normalize=message)
            case "audio":
                edits = replace(edits, audio=message)
            case "watermark":
                edits = replace(edits, watermarks=(*edits.watermarks, message))
            case "transcode":
                transcode = [Step(name, message)]
            case _:
                return edits, steps[index:]
    return edits, transcode


def clipped(edits: Edits, message: Operation.Clip) -> Edits:
    """Raises FailedPrecondition (OPERATION_NOT_APPLICABLE)."""
    start = edits.start + message.start_seconds * edits.speed
    end = edits.end
    if message.HasField("end_seconds"):
        end = min(end, edits.start + message.end_seconds * edits.speed)
    if start >= end:
        raise empty_clip(edits.seconds)
    return replace(edits, start=start, end=end)


def empty_clip(seconds: float) -> FailedPrecondition:
    return FailedPrecondition(
        Reason.OPERATION_NOT_APPLICABLE,
        f"The clip begins after the end of the media, which lasts {seconds:.3f} seconds.",
    )
