"""The output of a pipeline."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Output:
    """An output file. It exists until the context that yielded it ends. `suffix` is appended to the
    rendition's name for a companion file, such as the times of a storyboard. `seconds` is the
    duration of the part of an edited source that went into it, where that is known."""

    path: Path
    content_type: str
    width: int = 0
    height: int = 0
    suffix: str = ""
    seconds: float | None = None
