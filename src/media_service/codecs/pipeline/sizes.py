"""How large a picture becomes on its way through a pipeline, told before it is begun."""

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.pipeline.operation_fields import unpack, with_defaults
from media_service.codecs.pipeline.text_form import OUTPUT_OPERATIONS, parse_text

Size: TypeAlias = tuple[int, int]

Fit = Operation.Resize
RIGHT_ANGLES = {90, 180, 270}
# Their pixels are all made before the first of the next step is.
WHOLE = {"rotate", "flip", "trim"}
# Where such a cut is, is seen in the pixels, too.
CLEVER = {Operation.ATTENTION, Operation.ENTROPY}
SVG = "image/svg+xml"
# Of what may have any size.
ANY = (1 << 24, 1 << 24)


@dataclass(slots=True)
class SizeTrace:
    """Of one frame. `size`: of the result, at most; `known`: exactly that. `largest`: pixels of the
    largest step. `held`: pixels that lie in memory as a whole at the same time."""

    size: Size
    known: bool = True
    largest: int = 0
    held: int = 0


def trace_sizes(pipeline: str, size: Size, content_type: str = "") -> SizeTrace:
    """What becomes of an upright picture of this size by a pipeline in its canonical form."""
    steps = [unpack(with_defaults(operation)) for operation in parse_text(pipeline)]
    drawing = [(name, message) for name, message in steps if name not in OUTPUT_OPERATIONS]
    if drawing and drawing[0][0] == "resize" and content_type == SVG:
        drawing[0][1].enlarge = True  # it has no pixels of its own
    way = SizeTrace(size)
    if not drawing or drawing[0][0] != "resize":  # otherwise it is opened in the size wanted
        way.largest = pixels(size)
    tiles = whole = 0
    for name, message in drawing:
        before = way.size
        inner = follow(way, name, message)
        way.largest = max(way.largest, pixels(inner), pixels(way.size))
        if name in WHOLE or getattr(message, "gravity", 0) in CLEVER:
            whole = max(whole, pixels(before), pixels(inner))
        if getattr(message, "tile", False):
            tiles += pixels((before[0] + message.margin, before[1] + message.margin))
    if any(name == "compress" for name, _ in steps):
        whole = max(whole, pixels(way.size))
    # One is made of the one before.
    way.held = 2 * whole + tiles
    return way


def follow(way: SizeTrace, name: str, p: Any) -> Size:
    """Takes one step; returns the size of what it is cut from."""
    width, height = inner = way.size
    match name:
        case "resize":
            inner, way.size = sizes(p, way.size) if way.known else bounded(p, way.size)
        case "crop":
            wide, high = min(p.width or width, width), min(p.height or height, height)
            if p.HasField("x"):  # what lies outside is refused
                wide, high = min(wide, width - p.x), min(high, height - p.y)
            way.size = max(1, wide), max(1, high)
        case "rotate":
            way.size = turned(p.degrees % 360, way.size)
        case "pad":
            right = p.right if p.HasField("right") else p.top
            bottom = p.bottom if p.HasField("bottom") else p.top
            left = p.left if p.HasField("left") else right
            way.size = left + width + right, p.top + height + bottom
        case "trim":
            way.known = False
    return inner


def sizes(p: Operation.Resize, size: Size) -> tuple[Size, Size]:
    """Of the picture in its new scale, and of the result, which may be a part or more of it.

    What was scaled once keeps its size if it is asked for again: so it can be loaded in that size.
    """
    width, height = size
    across = p.width * p.dpr if p.HasField("width") else p.height * p.dpr * width / height
    down = p.height * p.dpr if p.HasField("height") else across * height / width
    wide, high = across / width, down / height
    if p.fit in {Fit.COVER, Fit.FILL}:
        # A box that asks for more pixels than there are becomes smaller as a whole.
        less = 1.0 if p.enlarge else max(1.0, wide, high)
        box = rounded(across / less, down / less)
        if p.fit == Fit.FILL:
            return box, box
        scale = max(wide, high) / less
        whole = rounded(width * scale, height * scale)
        return (max(whole[0], box[0]), max(whole[1], box[1])), box
    scale = max(wide, high) if p.fit == Fit.OUTSIDE else min(wide, high)
    if not p.enlarge:
        scale = min(scale, 1.0)
    whole = rounded(width * scale, height * scale)
    return whole, rounded(across, down) if p.fit == Fit.CONTAIN else whole


def bounded(p: Operation.Resize, size: Size) -> tuple[Size, Size]:
    """As `sizes`, of a picture that is at most so large, but may have any proportions."""
    both = p.HasField("width") and p.HasField("height")
    box = rounded(p.width * p.dpr, p.height * p.dpr) if both else ANY
    if p.fit == Fit.CONTAIN and both:
        return (box if p.enlarge else size), box
    if not p.enlarge and p.fit != Fit.CONTAIN:
        return size, size
    return (ANY if p.fit in {Fit.COVER, Fit.OUTSIDE} else box), (
        ANY if p.fit == Fit.OUTSIDE else box
    )


def turned(degrees: float, size: Size) -> Size:
    width, height = size
    if degrees in RIGHT_ANGLES or degrees == 0:
        return (height, width) if degrees in {90, 270} else size
    sine, cosine = abs(math.sin(math.radians(degrees))), abs(math.cos(math.radians(degrees)))
    # Its edges are smooth: a pixel more on each side.
    return (
        math.ceil(width * cosine + height * sine) + 2,
        math.ceil(width * sine + height * cosine) + 2,
    )


def rounded(width: float, height: float) -> Size:
    return max(1, round(width)), max(1, round(height))


def pixels(size: Size) -> int:
    return size[0] * size[1]
