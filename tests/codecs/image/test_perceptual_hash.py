"""Perceptual hashes find copies of images, and no others."""

import numpy as np
import pytest
import pyvips

from media_service.codecs.image.perceptual_hash import SIDE, perceptual_hashes
from media_service.codecs.image.thumbnails import within
from media_service.duplicates.model import MAX_DISTANCE
from tests.support.media.photos import copies, photo
from tests.support.media.real_photos import NAMES, real_photo

PHOTOS = 6


def hashes(image: pyvips.Image) -> list[int]:
    width, _ = within((image.width, image.height), SIDE)
    small = image.resize(min(1, width / image.width)).cast("uchar")
    return [int(each, 16) for each in perceptual_hashes(small)]


def distance(a: list[int], b: list[int]) -> int:
    return min(
        *((a[0] ^ each).bit_count() for each in b), *((b[0] ^ each).bit_count() for each in a)
    )


def test_copies_are_near_and_other_images_are_far() -> None:
    images = [*map(photo, range(PHOTOS)), *map(real_photo, NAMES)]
    known = [hashes(image) for image in images]
    for number, image in enumerate(images):
        for name, copy in copies(image).items():
            found = hashes(copy)
            for other, others in enumerate(known):
                apart = distance(found, others)
                assert (apart <= MAX_DISTANCE) is (other == number), (name, number, other, apart)


def test_an_image_with_too_little_in_it_has_no_hashes() -> None:
    white = (pyvips.Image.black(64, 64, bands=3) + 255).cast("uchar")
    assert perceptual_hashes(white.copy(interpretation="srgb")) == []


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (SIDE, 1), (63, 65), (SIDE, SIDE)])
def test_every_size_can_be_hashed(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), np.uint8)
    image = pyvips.Image.new_from_memory(noise.tobytes(), *size, 4, "uchar")
    found = perceptual_hashes(image.copy(interpretation="srgb"))
    assert len(found) in {0, 6}
    assert all(len(each) == 64 for each in found)


def test_the_hash_is_that_of_the_reference_implementation() -> None:
    """What the reference's steps give for a gradient with a checkerboard, written out as loops."""
    image = photo(3).resize(0.4)
    pixels = np.ndarray(
        buffer=image.write_to_memory(), dtype=np.uint8, shape=[image.height, image.width, 3]
    ).astype(float)
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    for _ in range(2):
        luma = np.array([box(row, -(-luma.shape[1] // 128)) for row in luma])
        luma = np.array([box(column, -(-luma.shape[0] // 128)) for column in luma.T]).T
    grid = np.array(
        [
            [
                luma[int((i + 0.5) * luma.shape[0] / 64), int((j + 0.5) * luma.shape[1] / 64)]
                for j in range(64)
            ]
            for i in range(64)
        ]
    )
    cosine = np.array(
        [
            [(2 / 64) ** 0.5 * np.cos(np.pi / 2 / 64 * (i + 1) * (2 * j + 1)) for j in range(64)]
            for i in range(16)
        ]
    )
    values = (cosine @ grid @ cosine.T).ravel()
    bits = "".join("1" if value > sorted(values)[127] else "0" for value in values)
    assert int(perceptual_hashes(image)[0], 16) == int(bits, 2)


def box(line: object, window: int) -> list[float]:
    values = list(np.asarray(line))
    half = (window + 2) // 2
    means = []
    for at in range(len(values)):
        part = values[max(0, at + half - window) : at + half]
        means.append(sum(part) / len(part))
    return means
