"""Compresses an image to a size or quality. Computes the pixels once, and encodes them several
times."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import pyvips
from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.encode import Encoding, encode
from media_service.codecs.image.geometry import Image
from media_service.codecs.image.loaders import allow_only, value
from media_service.codecs.image.readable import LOADERS
from media_service.codecs.image.ssim import Similarity
from media_service.errors import FailedPrecondition, Reason

# The highest quality that is tried by default. Above it, files grow without a visible effect.
MAX_QUALITY = 95
# The similarity above which two images look the same.
LOOKS_SAME = 0.99
# The side, in pixels, of the sample from the middle of the image on which similarity is measured.
SAMPLE_SIDE = 1536
BITS = {"PNG": (1, 2, 4, 8), "GIF": (1, 2, 3, 4, 5, 6, 7)}
T = TypeVar("T")


def compress(image: Image, encoding: Encoding, message: Operation.Compress) -> bytes:
    """Compresses an image. Raises FailedPrecondition (MAX_SIZE_TOO_SMALL)."""
    if message.HasField("quality"):
        return encode(image, replace(encoding, quality=message.quality))
    image = image.copy_memory()
    if message.HasField("max_size_bytes"):
        return best_within(image, attempts(encoding), message.max_size_bytes)
    target = message.similarity if message.HasField("similarity") else LOOKS_SAME
    return smallest_similar(image, encoding, target)


def attempts(encoding: Encoding) -> Sequence[Encoding]:
    """Returns the encodings to try, from the smallest to the best."""
    if encoding.lossy:
        return [replace(encoding, quality=n) for n in range(1, max_quality(encoding) + 1)]
    bits = BITS.get(encoding.format.name, ())
    return [*(replace(encoding, bits=n) for n in bits), encoding]


def max_quality(encoding: Encoding) -> int:
    return encoding.convert.quality if encoding.convert.HasField("quality") else MAX_QUALITY


def best_within(image: Image, encodings: Sequence[Encoding], max_size_bytes: int) -> bytes:
    """Returns the best encoding that fits. Sizes practically always increase with the quality.
    Raises FailedPrecondition (MAX_SIZE_TOO_SMALL).
    """
    best = b""
    smallest = 0

    def too_large(encoding: Encoding) -> bool:
        nonlocal best, smallest
        data = encode(image, encoding)
        if len(data) > max_size_bytes:
            smallest = len(data)
            return True
        best = max(best, data, key=len)
        return False

    first_true(encodings, too_large)
    if not best:
        raise FailedPrecondition(
            Reason.MAX_SIZE_TOO_SMALL,
            f"max_size_bytes is {max_size_bytes}, but {image.width} × {image.height} pixels need"
            f" at least {smallest} bytes as {encodings[0].format.name}.",
        )
    return best


def smallest_similar(image: Image, encoding: Encoding, target: float) -> bytes:
    """Returns the encoding with the lowest quality that has the target similarity, or with the
    highest quality if there is none."""
    if not encoding.lossy:
        return encode(image, encoding)
    sample = middle_of(image)
    similarity = Similarity(sample)

    def similar(encoding: Encoding) -> bool:
        return similarity.of(decoded(encode(sample, encoding), encoding)) >= target

    encodings = attempts(encoding)
    index = first_true(encodings, similar)
    return encode(image, encodings[min(index, len(encodings) - 1)])


def middle_of(image: Image) -> Image:
    """Returns the sample. For an animation, it is from the first frame."""
    frame_height = value(image, "page-height", image.height)
    width, height = min(image.width, SAMPLE_SIDE), min(frame_height, SAMPLE_SIDE)
    left, top = (image.width - width) // 2, (frame_height - height) // 2
    part = image.crop(left, top, width, height).copy()
    part.remove("page-height")
    return part.copy_memory()


def first_true(items: Sequence[T], test: Callable[[T], bool]) -> int:
    """Returns the index of the first item for which `test` is true, by binary search. `test` must
    be false for all items before it and true for all items after it."""
    low, high = 0, len(items)
    while low < high:
        middle = (low + high) // 2
        if test(items[middle]):
            high = middle
        else:
            low = middle + 1
    return low


def decoded(data: bytes, encoding: Encoding) -> Image:
    allow_only(LOADERS[encoding.format.content_type])
    return pyvips.Image.new_from_buffer(data, "")
