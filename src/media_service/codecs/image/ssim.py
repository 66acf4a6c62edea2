"""Measures how similar two images look: SSIM of the luminance (Wang, Bovik, Sheikh, Simoncelli,
2004).

The authors measure at the scale at which an image is viewed. Larger images are measured at half
their size, because displays with a high pixel density show them at that scale.
"""

from media_service.codecs.image.geometry import WHITE, Image

LUMINANCE = [[0.299, 0.587, 0.114]]
# The constants of the paper, for 8 bits.
SIGMA = 1.5
# Images whose shorter side has at least this length are halved.
HALVED = 384
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


class Similarity:
    """Compares one image with others of the same size."""

    def __init__(self, image: Image) -> None:
        self._image = luminance(image)
        self._mean = blurred(self._image).copy_memory()
        self._variance = (blurred(self._image**2) - self._mean**2).copy_memory()

    def of(self, other: Image) -> float:
        """Returns the similarity: 1 means identical, 0 means unrelated."""
        image = luminance(other)
        mean = blurred(image)
        variance = blurred(image**2) - mean**2
        covariance = blurred(image * self._image) - mean * self._mean
        light = (2 * mean * self._mean + C1) / (mean**2 + self._mean**2 + C1)
        structure = (2 * covariance + C2) / (variance + self._variance + C2)
        return float((light * structure).avg())


def luminance(image: Image) -> Image:
    if image.hasalpha():
        image = image.flatten(background=WHITE)
    if image.bands >= 3:
        image = image[0:3].recomb(LUMINANCE)
    if min(image.width, image.height) >= HALVED:
        image = image.shrink(2, 2)
    return image[0].cast("float").copy_memory()


def blurred(image: Image) -> Image:
    return image.gaussblur(SIGMA, precision="float")
