"""Filtering of EXIF blocks, valid or broken."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from media_service.codecs.image.metadata import PREFIX, filtered


def block(order: str = "<") -> bytes:
    exif = Image.Exif()
    exif.endian = order
    exif[ExifTags.Base.Artist] = "Жанна é".encode()
    exif[ExifTags.Base.Orientation] = 6
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] = 1 / 60
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] = b"a secret of the maker"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (43.0, 28.0, 2.0)
    return exif.tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
def test_allowed_tags_are_kept_unchanged(order: str) -> None:
    kept = Image.Exif()
    kept.load(filtered(block(order)))
    camera = kept.get_ifd(ExifTags.IFD.Exif)
    assert kept[ExifTags.Base.Artist].encode("latin-1").decode() == "Жанна é"
    assert camera[ExifTags.Base.ExposureTime] == pytest.approx(1 / 60)
    assert set(kept) == {ExifTags.Base.Artist, ExifTags.IFD.Exif}
    assert set(camera) == {ExifTags.Base.ExposureTime}


def test_filtering_is_idempotent() -> None:
    assert filtered(filtered(block())) == filtered(block())


@given(st.randoms(use_true_random=False), st.integers(1, 30))
def test_a_broken_block_is_filtered_safely(dice: random.Random, flaws: int) -> None:
    data = bytearray(block())
    for _ in range(flaws):
        data[dice.randrange(6, len(data))] = dice.choice([0, 1, 255, dice.randrange(256)])
    kept = filtered(bytes(data[: dice.randint(0, len(data))]))
    assert filtered(kept) == kept
    assert len(kept) < 61_000


def test_data_that_is_not_exif_is_dropped() -> None:
    for data in (
        b"",
        PREFIX,
        b"Exif",
        PREFIX + b"II*\0",
        b"<?xml",
        PREFIX + b"MM\0*\xff\xff\xff\xff",
    ):
        assert filtered(data) == b""
