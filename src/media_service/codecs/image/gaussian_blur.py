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
    across, down = factor(sigma, image.width), factor(sigma, image.height)
    if across == down == 1:
        return image.convsep(bell(sigma), precision="integer")
    small = image.shrink(across, down, ceil=True)
    if small.width > 1:
        small = small.conv(bell(left(sigma, across)), precision="integer")
    if small.height > 1:
        small = small.conv(bell(left(sigma, down)).rot90(), precision="integer")
    return small.affine(
        [across, 0, 0, down],
        interpolate=pyvips.Interpolate.new("bilinear"),
        odx=(across - 1) / 2,  # from the corner of a block to its middle
        ody=(down - 1) / 2,
        oarea=[0, 0, image.width, image.height],
        extend="copy",
    )


def factor(sigma: float, side: int) -> int:
    """By how much a side of the picture may be smaller while it is blurred."""
    return 1 if sigma <= WIDEST else min(math.floor(sigma / (WIDEST / 2)), side)


def left(sigma: float, shrunk: int) -> float:
    """What is left to blur when one side is smaller by this factor, in its pixels."""
    if shrunk == 1:
        return sigma
    # Averaging blocks, and the lines drawn between their means, blur too; variances add up.
    already = (shrunk**2 - 1) / 12 + shrunk**2 / 6
    return math.sqrt(sigma**2 - already) / shrunk


def bell(sigma: float) -> pyvips.Image:
    """The Gaussian in whole numbers, whose sum libvips divides by without rounding: a mask of its
    own making (gaussblur) makes plain colours darker or brighter by up to a thirtieth."""
    total = 128 if sigma < 1.5 else 256
    reach = math.ceil(3 * sigma)
    heights = [math.exp(-(x**2) / (2 * sigma**2)) for x in range(-reach, reach + 1)]
    weights = [round(height * total / sum(heights)) for height in heights]
    weights[reach] += total - sum(weights)
    return pyvips.Image.new_from_array([weights], scale=total)
