"""An image file as input, with the results of its inspection."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from media_service.codecs.image.readable import FFMPEG, PHOTOSHOP, PILLOW, RAW
from media_service.codecs.inspection import ImageInfo, Info

# Bytes per decoded pixel, including the memory of the decoder: all coefficients of a progressive
# JPEG, and further copies of the image for the others.
DECODER_PIXEL_BYTES = {
    **dict.fromkeys(PILLOW, 12),
    **dict.fromkeys(FFMPEG, 40),
    # Transparency in 16 bits is removed in floating point.
    **dict.fromkeys(PHOTOSHOP, 48),
    **dict.fromkeys(RAW, 16),
    "image/jpeg": 6,
    "image/gif": 6,
    "image/webp": 12,
    "image/avif": 16,
    "image/heic": 10,
    "image/jxl": 16,
    "image/jp2": 24,
    "image/jpx": 24,
    "image/j2c": 24,
}
# Bytes per pixel for more than 8 bits per channel: 16 bits, and floating point.
DEEP_PIXEL_BYTES = {
    "rgb16": 8,
    "gray16": 8,
    "scrgb": 16,
    "rgb": 16,
    "lab": 16,
    "xyz": 16,
    "multiband": 16,
}
# Bytes per pixel of three or four channels of 8 bits.
PIXEL_BYTES = 4
# Types whose frames depend on each other.
ANIMATED = {"image/gif", "image/webp"}


@dataclass(frozen=True, slots=True)
class ImageSource:
    """An image file. `frames` and `color_space` are `page_count` and `color_space` of ImageInfo."""

    path: Path
    content_type: str
    width: int
    height: int
    frames: int = 1
    color_space: str = "srgb"

    @classmethod
    def of(cls, path: Path, content_type: str, info: Info | None) -> Self:
        """Creates a source. `info` is the result of inspection. Raises ValueError if it is not that
        of an image."""
        if not isinstance(info, ImageInfo):
            raise ValueError(f"{info} does not describe an image")
        return cls(path, content_type, info.width, info.height, info.page_count, info.color_space)

    @property
    def animation_frames(self) -> int:
        """The number of animation frames. It is 1 for a file with pages."""
        return max(1, self.frames) if self.content_type in ANIMATED else 1

    @property
    def pixels(self) -> int:
        """The number of pixels of one frame or page."""
        return self.width * self.height

    @property
    def decoded_bytes(self) -> int:
        """The memory that decoding one frame or page needs."""
        depth = max(
            DECODER_PIXEL_BYTES.get(self.content_type, PIXEL_BYTES),
            DEEP_PIXEL_BYTES.get(self.color_space, PIXEL_BYTES),
        )
        return self.pixels * depth
