"""What a pipeline does to a film or a sound, whatever is made of it in the end."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from media_service.codecs.pipeline.route import Step
from media_service.errors import FailedPrecondition, Reason


@dataclass(frozen=True, slots=True)
class Edits:
    """`start`, `end`: what is kept, in seconds of the original. `factor`: how much faster it plays.
    `normalize`, `watermarks`, `audio`: messages of these operations. `mark`: a PNG as large as the
    film, with all watermarks. `later`: what takes silence away, and the clips and changes of speed
    behind that, in order; only of sounds."""

    start: float
    end: float
    factor: float = 1.0
    mute: bool = False
    normalize: Any = None
    audio: Any = None
    watermarks: tuple[Any, ...] = field(default=())
    mark: Path | None = None
    later: tuple[Step, ...] = field(default=())

    @property
    def seconds(self) -> float:
        """How long the result is, before what is done `later`."""
        return max(0.0, self.end - self.start) / self.factor


def collect_edits(steps: Sequence[Step], duration: float) -> tuple[Edits, Sequence[Step]]:
    """The edits, and the steps that follow them. Clips and changes of speed follow one another: a
    clip's times are those of what there is by then. What says how it is encoded does so wherever it
    is, unless something else is made in the end.

    Raises FailedPrecondition (OPERATION_NOT_APPLICABLE) if nothing is left.
    """
    found = Edits(0.0, duration)
    encoded: Sequence[Step] = ()
    for place, (name, message) in enumerate(steps):
        match name:
            case "clip" | "speed" | "remove_silence" if found.later or name == "remove_silence":
                found = replace(found, later=(*found.later, (name, message)))
            case "clip":
                found = clipped(found, message)
            case "speed":
                found = replace(found, factor=found.factor * message.factor)
            case "mute":
                found = replace(found, mute=True)
            case "normalize" | "audio":
                found = replace(found, **{name: message})
            case "watermark":
                found = replace(found, watermarks=(*found.watermarks, message))
            case "transcode":
                encoded = [(name, message)]
            case _:
                return found, steps[place:]
    return found, encoded


def clipped(found: Edits, message: Any) -> Edits:
    """Raises FailedPrecondition (OPERATION_NOT_APPLICABLE)."""
    start = found.start + message.start_seconds * found.factor
    end = found.end
    if message.HasField("end_seconds"):
        end = min(end, found.start + message.end_seconds * found.factor)
    if start >= end:
        raise nothing_left(found.seconds)
    return replace(found, start=start, end=end)


def nothing_left(seconds: float) -> FailedPrecondition:
    return FailedPrecondition(
        Reason.OPERATION_NOT_APPLICABLE,
        f"The clip begins behind the end: there are {seconds:.3f} seconds.",
    )
