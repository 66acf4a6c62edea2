"""Gaussian blur of any width."""

import math

import pyvips

# Where the Gaussian is cut off, as a part of its peak: at three standard deviations.
CUT = 0.011
# Wider ones are made of a smaller picture: nobody sees it, and it takes a hundredth of the time.
WIDEST = 12.0


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
        return image.gaussblur(sigma, min_ampl=CUT)
    # Averaging blocks, and the lines drawn between their means, blur too; variances add up.
    small = image.shrink(factor, factor, ceil=True)
    already = (factor**2 - 1) / 12 + factor**2 / 6
    small = small.gaussblur(math.sqrt(sigma**2 - already) / factor, min_ampl=CUT)
    large = small.resize(factor, kernel="linear")
    return large.crop(0, 0, image.width, image.height)
