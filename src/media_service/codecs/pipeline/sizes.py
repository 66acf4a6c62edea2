"""Predicts the size of an image at each step of a pipeline, before it is rendered."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.readable import DRAWINGS
from media_service.codecs.pipeline.pipeline import Pipeline, Step
from media_service.codecs.pipeline.text_form import OUTPUT_OPERATIONS

Size: TypeAlias = tuple[int, int]

Fit = Operation.Resize
RIGHT_ANGLES = {90, 180, 270}
# Operations that buffer all pixels of their input.
BUFFERED = {"rotate", "flip", "trim"}
# Crops that analyze the pixels, which are then buffered.
SMART_GRAVITIES = {Operation.ATTENTION, Operation.ENTROPY}
# A size without a known bound.
UNBOUNDED = (1 << 24, 1 << 24)


@dataclass(slots=True)
class SizeTrace:
    """The sizes of one frame. `size` is an upper bound of the result, or its exact size if `exact`.
    `largest` is the number of pixels of the largest step. `buffered_pixels` is the number of pixels
    that are in memory at the same time."""

    size: Size
    exact: bool = True
    largest: int = 0
    buffered_pixels: int = 0


def drawing_steps(pipeline: Pipeline, content_type: str) -> Sequence[Step]:
    """Returns the steps that change the image, without those that configure the encoding. An SVG
    has no inherent resolution, so a first `resize` also enlarges it."""
    steps = [step for step in pipeline.steps if step.name not in OUTPUT_OPERATIONS]
    if steps and steps[0].name == "resize" and content_type in DRAWINGS:
        resize = Operation.Resize()
        resize.CopyFrom(steps[0].parameters)
        resize.enlarge = True
        steps[0] = Step("resize", resize)
    return steps


def trace_sizes(pipeline: Pipeline, size: Size, content_type: str = "") -> SizeTrace:
    """Traces an upright image of this size through a pipeline."""
    drawing = drawing_steps(pipeline, content_type)
    trace = SizeTrace(size)
    if not drawing or drawing[0][0] != "resize":  # otherwise it is decoded in the target size
        trace.largest = pixels(size)
    tile_pixels = buffered = 0
    for name, message in drawing:
        before = trace.size
        inner = apply_step(trace, name, message)
        trace.largest = max(trace.largest, pixels(inner), pixels(trace.size))
        if name in BUFFERED or getattr(message, "gravity", 0) in SMART_GRAVITIES:
            buffered = max(buffered, pixels(before), pixels(inner))
        if getattr(message, "tile", False):
            tile_pixels += pixels((before[0] + message.margin, before[1] + message.margin))
    if any(step.name == "compress" for step in pipeline.steps):
        buffered = max(buffered, pixels(trace.size))
    # Two at a time: a buffered step reads from the one before.
    trace.buffered_pixels = 2 * buffered + tile_pixels
    return trace


def apply_step(trace: SizeTrace, name: str, p: Any) -> Size:
    """Applies one step. Returns the size before its final crop."""
    width, height = inner = trace.size
    match name:
        case "resize":
            inner, trace.size = (
                resize_sizes(p, trace.size) if trace.exact else resize_bounds(p, trace.size)
            )
        case "crop":
            wide, high = min(p.width or width, width), min(p.height or height, height)
            if p.HasField("x"):  # an area outside the image is an error
                wide, high = min(wide, width - p.x), min(high, height - p.y)
            trace.size = max(1, wide), max(1, high)
        case "rotate":
            trace.size = rotated_size(p.degrees % 360, trace.size)
        case "pad":
            right = p.right if p.HasField("right") else p.top
            bottom = p.bottom if p.HasField("bottom") else p.top
            left = p.left if p.HasField("left") else right
            trace.size = left + width + right, p.top + height + bottom
        case "trim":
            trace.exact = False
    return inner


def resize_sizes(p: Operation.Resize, size: Size) -> tuple[Size, Size]:
    """Returns the size that a resize scales to, and the size of the result, which may be cropped or
    have borders.
    Idempotent: an image that was decoded in the target size is not scaled again.
    """
    width, height = size
    across = p.width * p.dpr if p.HasField("width") else p.height * p.dpr * width / height
    down = p.height * p.dpr if p.HasField("height") else across * height / width
    wide, high = across / width, down / height
    if p.fit in {Fit.COVER, Fit.FILL}:
        # Without `enlarge`, a box larger than the image is scaled down as a whole.
        shrink = 1.0 if p.enlarge else max(1.0, wide, high)
        box = rounded(across / shrink, down / shrink)
        if p.fit == Fit.FILL:
            return box, box
        scale = max(wide, high) / shrink
        scaled = rounded(width * scale, height * scale)
        return (max(scaled[0], box[0]), max(scaled[1], box[1])), box
    scale = max(wide, high) if p.fit == Fit.OUTSIDE else min(wide, high)
    if not p.enlarge:
        scale = min(scale, 1.0)
    scaled = rounded(width * scale, height * scale)
    return scaled, rounded(across, down) if p.fit == Fit.CONTAIN else scaled


def resize_bounds(p: Operation.Resize, size: Size) -> tuple[Size, Size]:
    """Like `resize_sizes`, for an image of at most that size and unknown proportions."""
    both = p.HasField("width") and p.HasField("height")
    box = rounded(p.width * p.dpr, p.height * p.dpr) if both else UNBOUNDED
    if p.fit == Fit.CONTAIN and both:
        return (box if p.enlarge else size), box
    if not p.enlarge and p.fit != Fit.CONTAIN:
        return size, size
    return (UNBOUNDED if p.fit in {Fit.COVER, Fit.OUTSIDE} else box), (
        UNBOUNDED if p.fit == Fit.OUTSIDE else box
    )


def rotated_size(degrees: float, size: Size) -> Size:
    width, height = size
    if degrees in RIGHT_ANGLES or degrees == 0:
        return (height, width) if degrees in {90, 270} else size
    sine, cosine = abs(math.sin(math.radians(degrees))), abs(math.cos(math.radians(degrees)))
    # Smoothing adds a pixel on each side.
    return (
        math.ceil(width * cosine + height * sine) + 2,
        math.ceil(width * sine + height * cosine) + 2,
    )


def rounded(width: float, height: float) -> Size:
    return max(1, round(width)), max(1, round(height))


def pixels(size: Size) -> int:
    return size[0] * size[1]
