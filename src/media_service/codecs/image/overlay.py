"""Draws one image over another."""

import pyvips

from media_service.codecs.image.geometry import Image, Size, align, with_alpha


def over(image: Image, layer: Image, corner: tuple[int, int], opacity: float) -> Image:
    """Draws `layer` with its top left corner at `corner`, clipped to the image."""
    layer = with_alpha(layer)
    if opacity < 1:
        layer = (layer * [1, 1, 1, opacity]).rint().cast("uchar").copy(interpretation="srgb")
    x, y = corner
    result = image.composite2(layer, "over", x=x, y=y)
    return result if image.hasalpha() else result[0:3]


def blended(image: Image, layer: Image, corner: tuple[int, int], mode: str) -> Image:
    """Returns a layer of the image's size, with its colors after blending with the image by `mode`.
    Follows W3C Compositing, where libvips differs for partly transparent colors.
    """
    layer = with_alpha(layer).embed(*corner, image.width, image.height)
    colors = image[0:3].composite2(layer[0:3], mode)[0:3]
    if image.hasalpha():  # weighted by the alpha of the image
        colors = image[3].ifthenelse(colors, layer[0:3], blend=True)
    return colors.bandjoin(layer[3]).copy(interpretation="srgb")


def stamped(
    image: Image, layer: Image, gravity: int, margin: int, opacity: float, *, tile: bool
) -> Image:
    """Draws `layer` at an edge or corner of the image, or tiled over the whole image."""
    layer = with_alpha(layer)
    if tile:
        layer = tiled(layer, (image.width, image.height), margin)
        return over(image, layer, (margin, margin), opacity)
    inner = (image.width - 2 * margin, image.height - 2 * margin)
    x, y = align(gravity, inner, (layer.width, layer.height))
    return over(image, layer, (margin + x, margin + y), opacity)


def tiled(layer: Image, size: Size, margin: int) -> Image:
    cell = layer.embed(0, 0, layer.width + margin, layer.height + margin).copy_memory()
    across, down = -(-size[0] // cell.width), -(-size[1] // cell.height)
    return cell.replicate(across, down).crop(0, 0, *size)


def one_color(shape: Image, rgb: list[int], opacity: float) -> Image:
    """Returns a layer of one color. Its alpha is `shape` (one band)."""
    colors = (pyvips.Image.black(shape.width, shape.height, bands=3) + rgb).cast("uchar")
    alpha = (shape * opacity).rint().cast("uchar")
    return colors.bandjoin(alpha).copy(interpretation="srgb")
