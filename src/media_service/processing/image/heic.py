"""HEIC pixels. The libvips that comes as a wheel reads its header, but has no HEVC decoder."""

import os
from typing import Any

import pi_heif
import pyvips

from media_service.errors import InvalidArgument, Reason


def decode(media: int) -> Any:
    """The picture, upright, with its colour profile; raises InvalidArgument (MEDIA_CORRUPT)."""
    with os.fdopen(os.dup(media), "rb") as file:
        file.seek(0)
        try:
            picture = pi_heif.open_heif(file)
            width, height = picture.size
            pixels = bytes(picture.data)
        except (ValueError, EOFError, SyntaxError, OSError) as error:
            raise InvalidArgument(
                Reason.MEDIA_CORRUPT, f"The picture cannot be decoded: {error}"
            ) from None
    bands = len(picture.mode)
    # Rows may be longer than they are wide.
    rows = pyvips.Image.new_from_memory(pixels, picture.stride, height, 1, "uchar").crop(
        0, 0, width * bands, height
    )
    image = pyvips.Image.new_from_memory(
        rows.write_to_memory(), width, height, bands, "uchar"
    ).copy(interpretation="srgb")
    if profile := picture.info.get("icc_profile"):
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return image
