"""Decodes HEIC with libheif, because the libvips in the wheel has no HEVC decoder."""

import os
from typing import Any

import pi_heif
import pyvips

from media_service.codecs.sandbox.exit_cause import corrupt
from media_service.codecs.sandbox.out_of_memory import is_out_of_memory


def load(media: int) -> Any:
    """Loads an image into libvips, upright, with its color profile. Raises InvalidArgument
    (MEDIA_CORRUPT)."""
    decoded = decode(media)
    pixels = bytes(decoded.data)  # a copy: libheif frees its own
    image = pyvips.Image.new_from_memory(pixels, *decoded.size, len(decoded.mode), "uchar")
    image = image.copy(interpretation="srgb" if image.bands > 2 else "b-w")
    if profile := decoded.info.get("icc_profile"):
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return image


def decode(media: int) -> Any:
    """Decodes an image with libheif. Raises the errors of `load`."""
    with os.fdopen(os.dup(media), "rb") as file:
        file.seek(0)
        try:
            container = pi_heif.open_heif(file)
            decoded = container[container.primary_index]
            decoded.load()
        except (ValueError, EOFError, SyntaxError, RuntimeError, OSError) as error:
            if is_out_of_memory(str(error)):
                raise MemoryError from None
            raise corrupt("The image cannot be decoded: it is damaged.") from error
    return decoded
