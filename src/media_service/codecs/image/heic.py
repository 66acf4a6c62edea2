"""HEIC pixels. The libvips that comes as a wheel reads its header, but has no HEVC decoder."""

import os
from typing import Any

import pi_heif
import pyvips

from media_service.codecs.image.out_of_memory import is_short
from media_service.errors import InvalidArgument, Reason


def decode(media: int) -> Any:
    """The picture, upright, with its colour profile; raises InvalidArgument (MEDIA_CORRUPT)."""
    picture = decoded(media)
    pixels = bytes(picture.data)  # those it has itself go with it
    image = pyvips.Image.new_from_memory(pixels, *picture.size, len(picture.mode), "uchar")
    image = image.copy(interpretation="srgb")
    if profile := picture.info.get("icc_profile"):
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return image


def decoded(media: int) -> Any:
    """As `decode`, before it is a picture of libvips, whose pixels are a copy."""
    with os.fdopen(os.dup(media), "rb") as file:
        file.seek(0)
        try:
            found = pi_heif.open_heif(file)
            picture = found[found.primary_index]
            picture.load()
        except (ValueError, EOFError, SyntaxError, RuntimeError, OSError) as error:
            if is_short(str(error)):
                raise MemoryError from None
            raise InvalidArgument(
                Reason.MEDIA_CORRUPT, f"The picture cannot be decoded: {error}"
            ) from None
    return picture
