"""A picture that others are made of, as inspection found it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

# Decoded, with what the decoder keeps beside it: a progressive JPEG all its coefficients, AVIF and
# HEIC the whole picture once more.
DECODED = {"image/jpeg": 6, "image/webp": 6, "image/avif": 12, "image/heic": 10}
# What every format takes at least: three channels, or four, of 8 bits; of 16; of floating point.
DEEP = {"rgb16": 8, "grey16": 8, "scrgb": 16, "rgb": 16, "lab": 16, "xyz": 16, "multiband": 16}
PIXEL = 4
# Their frames build on each other, and are decoded in one go.
ANIMATED = {"image/gif", "image/webp"}


@dataclass(frozen=True, slots=True)
class ImageSource:
    """`frames` and `color_space`: page_count and color_space of ImageInfo."""

    path: Path
    content_type: str
    width: int
    height: int
    frames: int = 1
    color_space: str = "srgb"

    @classmethod
    def of(cls, path: Path, content_type: str, info: Mapping[str, Any]) -> Self:
        """`info`: what inspection found, as it is kept."""
        frames, colors = info.get("page_count", 1), info.get("color_space", "srgb")
        return cls(path, content_type, info["width"], info["height"], frames, colors)

    @property
    def moving(self) -> int:
        """Frames that belong together; pages do not."""
        return max(1, self.frames) if self.content_type in ANIMATED else 1

    @property
    def pixels(self) -> int:
        return self.width * self.height * self.moving

    @property
    def decoded(self) -> int:
        """Bytes."""
        depth = max(DECODED.get(self.content_type, PIXEL), DEEP.get(self.color_space, PIXEL))
        return self.pixels * depth
