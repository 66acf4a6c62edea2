"""The operations on images. Each operation is a module with the same name.

`apply(image, message, context)` takes one frame, upright and in sRGB (three bands of 8 bits, or
four with alpha), and the operation's message with all defaults. It returns the new frame. It only
extends the graph of libvips. The pixels are computed once, at the end, from top to bottom. An
operation that needs them in a different order, such as a rotation, buffers them first
(`copy_memory`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyvips

Image: TypeAlias = pyvips.Image


@dataclass(frozen=True, slots=True)
class Context:
    """The context of one step of a pipeline. `overlays` has the images that the pipeline names, by
    media id, upright, in sRGB and in memory. `decided` has the values that this step computed for
    the first frame of an animation and uses for all frames."""

    overlays: Mapping[str, Image]
    decided: dict[str, Any]
