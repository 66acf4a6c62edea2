"""Recognizes a Chinese, Japanese or Korean character in an image."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from media_service.codecs.sandbox.fonts import CJK_FONTS


def shape(image: Image.Image) -> NDArray[Any]:
    """The darkness of the part of an image that is not white, in a square of fixed size."""
    dark = Image.eval(image.convert("L"), lambda level: 255 - level)
    box = Image.eval(dark, lambda level: 255 * (level > 128)).getbbox()
    return np.asarray(dark.crop(box).resize((24, 24)), float)


def similarity(image: Image.Image, character: str) -> float:
    """The correlation of an image of one character with the character: 1 if they are the same."""
    font = ImageFont.truetype(str(next(CJK_FONTS.glob("*.ttc"))), 100)
    expected = Image.new("L", (200, 200), "white")
    ImageDraw.Draw(expected).text((30, 30), character, "black", font)
    both = np.corrcoef(shape(image).ravel(), shape(expected).ravel())
    return float(both[0, 1])
