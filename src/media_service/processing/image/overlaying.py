"""One picture over another."""

import pyvips

from media_service.processing.image.geometry import Image, Size, place, with_alpha


def over(
    image: Image, layer: Image, corner: tuple[int, int], opacity: float, mode: str = "over"
) -> Image:
    """With the left and top edges of `layer` there; what is outside of the picture is not seen."""
    layer = with_alpha(layer)
    if opacity < 1:
        layer = (layer * [1, 1, 1, opacity]).rint().cast("uchar").copy(interpretation="srgb")
    x, y = corner
    result = image.composite2(layer, mode, x=x, y=y)
    return result if image.hasalpha() else result[0:3]


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
