"""One picture over another."""

import pyvips

from media_service.codecs.image.geometry import Image, Size, place, with_alpha


def over(image: Image, layer: Image, corner: tuple[int, int], opacity: float) -> Image:
    """With the left and top edges of `layer` there; what is outside of the picture is not seen."""
    layer = with_alpha(layer)
    if opacity < 1:
        layer = (layer * [1, 1, 1, opacity]).rint().cast("uchar").copy(interpretation="srgb")
    x, y = corner
    result = image.composite2(layer, "over", x=x, y=y)
    return result if image.hasalpha() else result[0:3]


def blended(image: Image, layer: Image, corner: tuple[int, int], mode: str) -> Image:
    """A layer as large as the picture, in the colours that it has there when it is mixed with it.

    So W3C Compositing defines blending; libvips blends colours that are partly transparent
    otherwise.
    """
    layer = with_alpha(layer).embed(*corner, image.width, image.height)
    colors = image[0:3].composite2(layer[0:3], mode)[0:3]
    if image.hasalpha():  # as much as there is to be mixed with
        colors = image[3].ifthenelse(colors, layer[0:3], blend=True)
    return colors.bandjoin(layer[3]).copy(interpretation="srgb")


def marked(
    image: Image, layer: Image, gravity: int, margin: int, opacity: float, *, tile: bool
) -> Image:
    """With `layer` at an edge or a corner of the picture, or all over it."""
    layer = with_alpha(layer)
    if tile:
        layer = tiled(layer, (image.width, image.height), margin)
        return over(image, layer, (margin, margin), opacity)
    room = (image.width - 2 * margin, image.height - 2 * margin)
    x, y = place(gravity, room, (layer.width, layer.height))
    return over(image, layer, (margin + x, margin + y), opacity)


def tiled(layer: Image, size: Size, margin: int) -> Image:
    cell = layer.embed(0, 0, layer.width + margin, layer.height + margin).copy_memory()
    across, down = -(-size[0] // cell.width), -(-size[1] // cell.height)
    return cell.replicate(across, down).crop(0, 0, *size)


def one_color(shape: Image, rgb: list[int], opacity: float) -> Image:
    """One colour, seen where `shape` (one band) says."""
    ground = (pyvips.Image.black(shape.width, shape.height, bands=3) + rgb).cast("uchar")
    alpha = (shape * opacity).rint().cast("uchar")
    return ground.bandjoin(alpha).copy(interpretation="srgb")
