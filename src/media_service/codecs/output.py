"""What came out of a pipeline."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Output:
    """A file. It is there for as long as the context that gave it. `suffix`: what is behind the
    rendition's name, of what goes along with another."""

    path: Path
    content_type: str
    width: int = 0
    height: int = 0
    suffix: str = ""
