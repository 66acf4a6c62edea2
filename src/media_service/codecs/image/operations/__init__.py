"""The operations on images, one module each, named like the operation.

`apply(image, message, context)` takes one frame, upright and in sRGB (three bands of 8 bits, or
four with alpha), and the operation's message with all defaults; it returns the new frame. It only
extends the graph of libvips. The pixels are computed once, in the end, from top to bottom; an
operation that needs them in another order, such as a rotation, buffers them first (`copy_memory`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyvips

Image: TypeAlias = pyvips.Image


@dataclass(frozen=True, slots=True)
class Context:
    """What one step of a pipeline has beside the frame. `overlays`: the images that the pipeline
    names, by media id, upright and in sRGB, in memory. `decided`: what this step decided for the
    first frame of an animation, for all frames."""

    overlays: Mapping[str, Image]
    decided: dict[str, Any]
