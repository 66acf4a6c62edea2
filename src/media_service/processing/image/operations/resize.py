"""Another size."""

from media.v1.operation_pb2 import Operation

from media_service.processing.image.cut import cut
from media_service.processing.image.geometry import Size, color, framed, place, resized
from media_service.processing.image.operations import Context, Image, operation

Fit = Operation.Resize
SIZES = "sizes"


@operation("resize")
def resize(image: Image, p: Operation.Resize, frame: Context) -> Image:
    # What the picture was opened for is decided already, by its size before that.
    scaled, (width, height) = frame.decided.get(SIZES) or sizes(p, (image.width, image.height))
    image = resized(image, scaled)
    if p.fit == Fit.COVER:
        return cut(image, width, height, p, frame)
    if p.fit == Fit.CONTAIN and scaled != (width, height):
        corner = place(p.gravity, (width, height), scaled)
        return framed(image, corner, (width, height), color(p.background))
    return image


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


def rounded(width: float, height: float) -> Size:
    return max(1, round(width)), max(1, round(height))
