"""Converts images of linear light, whose white is 1 and which may be brighter than white."""

from typing import Any

import numpy as np
import pyvips

# Up to here, colors stay as they are in every viewer at exposure 0. Brighter light is compressed
# into the rest, up to white, instead of being cut off.
SHOULDER = 0.8
MAX_LIGHT = 65504.0  # that of half-precision numbers
ROWS = 256  # that are converted together, which bounds the memory


def from_linear(pixels: Any, *, has_alpha: bool = False) -> Any:
    """Returns rows of pixels of three or four floating-point bands as scRGB. Alpha is
    premultiplied, as in OpenEXR."""
    height, width, bands = pixels.shape
    finite = np.ascontiguousarray(pixels, np.float32)
    np.nan_to_num(finite, copy=False, posinf=MAX_LIGHT, neginf=0.0)
    np.clip(finite, 0, MAX_LIGHT, out=finite)
    if has_alpha:
        np.minimum(finite[..., 3], 1, out=finite[..., 3])
        for row in range(0, height, ROWS):
            part = finite[row : row + ROWS]
            np.divide(part[..., :3], part[..., 3:], out=part[..., :3], where=part[..., 3:] > 0)
    brightest = float(finite[..., :3].max())
    if brightest > 1:
        for row in range(0, height, ROWS):
            compress(finite[row : row + ROWS, :, :3], brightest)
    found = pyvips.Image.new_from_memory(finite.data, width, height, bands, "float")
    return found.copy(interpretation="scrgb")


def compress(colors: Any, brightest: float) -> None:
    """Maps the light from SHOULDER to `brightest` to the range up to 1, in place: Reinhard's curve,
    by the brightest channel, so that hues do not change."""
    light = colors.max(axis=2, keepdims=True)
    excess = np.maximum(light - SHOULDER, 0) / (1 - SHOULDER)
    white = (brightest - SHOULDER) / (1 - SHOULDER)
    curve = (excess / (1 + excess)) * (1 + excess / white / white)
    wanted = np.minimum(SHOULDER + (1 - SHOULDER) * curve, 1)
    np.multiply(colors, wanted / np.maximum(light, SHOULDER), out=colors, where=light > SHOULDER)
