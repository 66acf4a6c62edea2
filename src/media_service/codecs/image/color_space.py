"""Converts images to sRGB."""

from typing import Any

import pyvips

from media_service.codecs.image.geometry import Image
from media_service.codecs.image.loaders import value

# Maps white to white and black to black, and keeps the colors that sRGB has, as browsers and image
# editors do. Without the compensation, the black of printed images becomes gray.
INTENT: dict[str, Any] = {"intent": "relative", "black_point_compensation": True}
# Lab, and its forms with integers.
LAB = {"lab", "labs", "labq"}
# The interpretation of images whose bands have no known meaning, by their number.
DEFAULT_INTERPRETATIONS = {1: "b-w", 2: "b-w", 3: "srgb", 4: "srgb"}


def srgb(image: Image) -> Image:
    """Converts to sRGB with 8 bits. Keeps alpha."""
    if image.interpretation in LAB:
        # Its colors do not depend on a device, whatever profile it has.
        image = image.colourspace("lab").icc_export(output_profile="srgb", **INTENT)
    elif value(image, "icc-profile-data", None) is not None or image.interpretation == "cmyk":
        image = apply_profile(image)
    if image.interpretation not in {"srgb", "rgb"} or image.format != "uchar":
        if image.interpretation == "multiband":
            bands = min(image.bands, 4)
            image = image.extract_band(0, n=bands).copy(
                interpretation=DEFAULT_INTERPRETATIONS[bands]
            )
        image = image.colourspace("srgb")
    if image.bands > 4:
        image = image.extract_band(0, n=4)
    return image.cast("uchar")


def apply_profile(image: Image) -> Image:
    """Converts to sRGB with the color profile. Ignores a profile that does not match the image."""
    profile = value(image, "icc-profile-data", b"")
    if image.interpretation == "srgb" and profile[48:56] == b"IEC sRGB":
        return image
    if image.interpretation == "scrgb":  # floating point, from 0 to 1
        image = (image * 65535).cast("ushort").copy(interpretation="rgb16")
    fallback = {"input_profile": "cmyk"} if image.interpretation == "cmyk" else {}
    try:
        return image.icc_transform("srgb", embedded=True, **fallback, **INTENT)
    except pyvips.Error:
        return image
