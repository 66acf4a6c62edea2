"""The perceptual hashes of an image: PDQ, as Meta published it.

Source: "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", and the
reference implementation in github.com/facebook/ThreatExchange (`pdq`). This one filters the image
once, and samples it for the whole image and for five crops of it: PDQ itself does not find an image
that was cropped by 5 %. Runs in a child process.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from media_service.codecs.image.geometry import WHITE, Image

Matrix = npt.NDArray[np.float64]

# The longest side of the image that is hashed. More pixels change no bit that matters.
SIDE = 256
# The image is sampled at GRID x GRID points, of whose cosine transform the first BITS x BITS
# coefficients without the constant ones are compared with their median.
GRID, BITS = 64, 16
PASSES = 2
# An image of a lower quality, on PDQ's scale up to 100, has too little in it to compare.
MIN_QUALITY = 50
# What is cut off the left, right, top and bottom of the image.
CROP = 0.05
CROPS = (
    (CROP / 2, CROP / 2, CROP / 2, CROP / 2),
    (CROP, 0.0, 0.0, 0.0),
    (0.0, CROP, 0.0, 0.0),
    (0.0, 0.0, CROP, 0.0),
    (0.0, 0.0, 0.0, CROP),
)
WHOLE = (0.0, 0.0, 0.0, 0.0)
LUMA = np.array([0.299, 0.587, 0.114])
COSINES: Matrix = np.sqrt(2 / GRID) * np.cos(
    np.pi / (2 * GRID) * np.outer(np.arange(1, BITS + 1), 2 * np.arange(GRID) + 1)
)


def perceptual_hashes(image: Image) -> list[str]:
    """The `hashes_of` an image."""
    return hashes_of(luma(image))


def hashes_of(values: Matrix) -> list[str]:
    """Returns the hash of an image with this luma, and those of its crops, each as 64 hex digits.
    Returns none if there is too little in the image. Its longest side should be `SIDE`."""
    filtered = values
    for _ in range(PASSES):
        filtered = smoothed(smoothed(filtered, 1), 0)
    whole = sampled(filtered, WHOLE)
    if quality(whole) < MIN_QUALITY:
        return []
    return [hash_of(whole), *(hash_of(sampled(filtered, crop)) for crop in CROPS)]


def luma(image: Image) -> Matrix:
    opaque = image.flatten(background=WHITE) if image.hasalpha() else image
    pixels = np.frombuffer(opaque.write_to_memory(), np.uint8)
    return np.asarray(pixels.reshape(opaque.height, opaque.width, opaque.bands)[..., :3] @ LUMA)


def smoothed(values: Matrix, axis: int) -> Matrix:
    """A moving average, whose window is half as wide as the distance of the points."""
    count = values.shape[axis]
    window = -(-count // (2 * GRID))
    ends = np.arange(count) + (window + 2) // 2
    first, last = np.maximum(ends - window, 0), np.minimum(ends, count)
    before = np.insert(np.cumsum(values, axis), 0, 0, axis)
    sums = np.take(before, last, axis) - np.take(before, first, axis)
    return np.asarray(sums / np.expand_dims(last - first, 1 - axis))


def sampled(values: Matrix, cut: Sequence[float]) -> Matrix:
    height, width = values.shape
    left, right, top, bottom = cut
    rows = points(height, top, bottom)
    columns = points(width, left, right)
    return np.asarray(values[np.ix_(rows, columns)])


def points(count: int, before: float, after: float) -> npt.NDArray[np.int64]:
    share = (np.arange(GRID) + 0.5) / GRID
    return np.asarray(count * (before + share * (1 - before - after)), np.int64)


def quality(grid: Matrix) -> int:
    """PDQ's measure of how much there is in an image: the sum of the noticeable differences."""
    steps = (np.trunc(np.diff(grid, axis=axis) * (100 / 255)) for axis in (0, 1))
    return min(100, int(sum(float(np.abs(each).sum()) for each in steps) / 90))


def hash_of(grid: Matrix) -> str:
    coefficients = (COSINES @ grid @ COSINES.T).ravel()
    median = np.sort(coefficients)[coefficients.size // 2 - 1]
    return np.packbits(coefficients > median).tobytes().hex()
