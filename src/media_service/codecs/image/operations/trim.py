"""`trim`: removes a border of one color."""

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.operations import Context, Image


def apply(image: Image, p: Operation.Trim, context: Context) -> Image:
    if "box" not in context.decided:
        image = image.copy_memory()  # it is read twice: to find the border, and to crop
        context.decided["box"] = content_box(image, p.threshold)
    left, top, width, height = context.decided["box"]
    if not width or not height:
        return image  # nothing but border
    return image.crop(left, top, width, height)


def content_box(image: Image, threshold: float) -> tuple[int, int, int, int]:
    """Left, top, width and height of the content, even of lines of one pixel (`line_art`)."""
    corner = image(0, 0)
    if image.hasalpha() and corner[-1] == 0:
        # The color of transparent pixels does not matter.
        alpha = image[image.bands - 1].copy(interpretation="b-w")
        return tuple(alpha.find_trim(threshold=threshold, background=[0], line_art=True))
    found = image.find_trim(threshold=threshold, background=corner[:3], line_art=True)
    return tuple(found)
