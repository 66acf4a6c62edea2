"""As few bytes as somebody wants: pixels are computed once, and encoded a few times."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import pyvips
from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.encode import Encoding, encode
from media_service.codecs.image.geometry import Image
from media_service.codecs.image.loaders import LOADERS, allow_only, value
from media_service.codecs.image.ssim import Similarity
from media_service.errors import FailedPrecondition, Reason

# The best that is tried if nothing else is said: beyond it files grow, and nobody sees why.
BEST = 95
# As similar as this, nobody tells them apart.
ALIKE = 0.99
# The part in the middle that tells for all of it, in pixels on a side.
SAMPLE = 1536
BITS = {"PNG": (1, 2, 4, 8), "GIF": (1, 2, 3, 4, 5, 6, 7)}
T = TypeVar("T")


def compress(image: Image, encoding: Encoding, wanted: Operation.Compress) -> bytes:
    """Raises FailedPrecondition (MAX_BYTES_TOO_SMALL)."""
    if wanted.HasField("quality"):
        return encode(image, replace(encoding, quality=wanted.quality))
    image = image.copy_memory()
    if wanted.HasField("max_bytes"):
        return within(image, ladder(encoding), wanted.max_bytes)
    target = wanted.similarity if wanted.HasField("similarity") else ALIKE
    return alike(image, encoding, target)


def ladder(encoding: Encoding) -> Sequence[Encoding]:
    """Ways to write it, from the smallest to the best."""
    if encoding.lossy:
        return [replace(encoding, quality=n) for n in range(1, best(encoding) + 1)]
    bits = BITS.get(encoding.format.name, ())
    return [*(replace(encoding, bits=n) for n in bits), encoding]


def best(encoding: Encoding) -> int:
    return encoding.convert.quality if encoding.convert.HasField("quality") else BEST


def within(image: Image, ways: Sequence[Encoding], max_bytes: int) -> bytes:
    """The best that fits. Larger steps never give fewer bytes, as good as always."""
    found = b""
    least = 0

    def too_large(way: Encoding) -> bool:
        nonlocal found, least
        data = encode(image, way)
        if len(data) > max_bytes:
            least = len(data)
            return True
        found = max(found, data, key=len)
        return False

    first_true(ways, too_large)
    if not found:
        raise FailedPrecondition(
            Reason.MAX_BYTES_TOO_SMALL,
            f"As {ways[0].format.name}, {image.width} × {image.height} pixels need {least} bytes"
            f" at least, more than the {max_bytes} of max_bytes.",
        )
    return found


def alike(image: Image, encoding: Encoding, target: float) -> bytes:
    """The lowest quality that is as similar; the best there is, if none is."""
    if not encoding.lossy:
        return encode(image, encoding)
    part = sample(image)
    similarity = Similarity(part)

    def enough(way: Encoding) -> bool:
        return similarity.of(decoded(encode(part, way), way)) >= target

    ways = ladder(encoding)
    found = first_true(ways, enough)
    return encode(image, ways[min(found, len(ways) - 1)])


def sample(image: Image) -> Image:
    """Of an animation, of its first frame."""
    high = value(image, "page-height", image.height)
    width, height = min(image.width, SAMPLE), min(high, SAMPLE)
    left, top = (image.width - width) // 2, (high - height) // 2
    part = image.crop(left, top, width, height).copy()
    part.remove("page-height")
    return part.copy_memory()


def first_true(ways: Sequence[T], test: Callable[[T], bool]) -> int:
    """Where `test` begins to be true, which is false up to there."""
    low, high = 0, len(ways)
    while low < high:
        middle = (low + high) // 2
        if test(ways[middle]):
            high = middle
        else:
            low = middle + 1
    return low


def decoded(data: bytes, encoding: Encoding) -> Image:
    allow_only(LOADERS[encoding.format.content_type])
    return pyvips.Image.new_from_buffer(data, "")
