"""Without a border of one colour."""

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.operations import Context, Image, operation


@operation("trim")
def trim(image: Image, p: Operation.Trim, frame: Context) -> Image:
    if "box" not in frame.decided:
        image = image.copy_memory()  # it is looked at, and then read again
        frame.decided["box"] = box(image, p.threshold)
    left, top, width, height = frame.decided["box"]
    if not width or not height:
        return image  # nothing but border
    return image.crop(left, top, width, height)


def box(image: Image, threshold: float) -> tuple[int, int, int, int]:
    """Left, top, width and height of what is no border, be it a line of one pixel (`line_art`)."""
    corner = image(0, 0)
    if image.hasalpha() and corner[-1] == 0:
        # Of what is invisible the colour does not matter.
        alpha = image[image.bands - 1].copy(interpretation="b-w")
        return tuple(alpha.find_trim(threshold=threshold, background=[0], line_art=True))
    found = image.find_trim(threshold=threshold, background=corner[:3], line_art=True)
    return tuple(found)
