"""Gaussian blur of any width."""

import math

import pyvips

# Wider ones are made of a smaller picture: nobody sees it, and it takes a hundredth of the time.
WIDEST = 6.0


def blurred(image: pyvips.Image, sigma: float) -> pyvips.Image:
    """Blurred by a standard deviation of `sigma` pixels. If the last of two or four bands is alpha,
    colours count as much as they are seen."""
    if image.hasalpha():
        seen = smooth(image.premultiply().rint().cast("uchar"), sigma)
        return seen.unpremultiply().rint().cast("uchar")
    return smooth(image, sigma)


def smooth(image: pyvips.Image, sigma: float) -> pyvips.Image:
    factor = min(math.floor(sigma / (WIDEST / 2)), image.width, image.height)
    if sigma <= WIDEST or factor < 2:
        return image.convsep(bell(sigma), precision="integer")
    # Averaging blocks, and the lines drawn between their means, blur too; variances add up.
    already = (factor**2 - 1) / 12 + factor**2 / 6
    small = image.shrink(factor, factor, ceil=True)
    small = small.convsep(bell(math.sqrt(sigma**2 - already) / factor), precision="integer")
    half = (factor - 1) / 2  # from the corner of a block to its middle
    return small.affine(
        [factor, 0, 0, factor],
        interpolate=pyvips.Interpolate.new("bilinear"),
        odx=half,
        ody=half,
        oarea=[0, 0, image.width, image.height],
        extend="copy",
    )


def bell(sigma: float) -> pyvips.Image:
    """The Gaussian in whole numbers, whose sum libvips divides by without rounding: a mask of its
    own making (gaussblur) makes plain colours darker or brighter by up to a thirtieth."""
    total = 128 if sigma < 1.5 else 256
    reach = math.ceil(3 * sigma)
    heights = [math.exp(-(x**2) / (2 * sigma**2)) for x in range(-reach, reach + 1)]
    weights = [round(height * total / sum(heights)) for height in heights]
    weights[reach] += total - sum(weights)
    return pyvips.Image.new_from_array([weights], scale=total)
