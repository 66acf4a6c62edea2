"""Decodes images for which libvips has no loader.

Each decodes the whole image into memory. Runs in a child process.
"""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av
import numpy as np
import PIL.Image
import pyvips

from media_service.codecs.image import jpeg_xl, jpeg_xl_decoder, photoshop
from media_service.codecs.image.linear_light import from_linear
from media_service.codecs.image.readable import FFMPEG, LIBJXL, LIBRAW, PHOTOSHOP, PILLOW
from media_service.codecs.limits import check_pixels, too_many_pixels
from media_service.codecs.sandbox.exit_cause import corrupt
from media_service.errors import MediaError

# Modes of Pillow that libvips has, by the name of its interpretation.
INTERPRETATIONS = {"L": "b-w", "LA": "b-w", "RGB": "srgb", "RGBA": "srgb", "CMYK": "cmyk"}
# What other modes become: palettes, and premultiplied alpha.
CONVERTED = {"1": "L", "PA": "RGBA", "La": "LA", "RGBa": "RGBA"}
DECODERS = frozenset({*PILLOW.values(), *FFMPEG.values(), LIBJXL, LIBRAW, *PHOTOSHOP.values()})


def decode(media: int, decoder: str, max_pixels: int = sys.maxsize) -> Any:
    """Decodes an image into a libvips image in memory. `decoder` is one of DECODERS. Checks the
    size in the header before any pixel is decoded. Raises InvalidArgument (MEDIA_CORRUPT,
    PIXEL_LIMIT_EXCEEDED), MemoryError."""
    if decoder == LIBRAW:
        return by_libraw(media, max_pixels)
    if decoder == LIBJXL:
        return by_libjxl(media, max_pixels)
    if decoder in FFMPEG.values():
        return by_ffmpeg(media, decoder, max_pixels)
    if decoder in PHOTOSHOP.values():
        with opened(media) as file:
            return photoshop.decode(file, max_pixels)
    return by_pillow(media, decoder, max_pixels)


@contextmanager
def opened(media: int) -> Iterator[Any]:
    """Opens the file for a decoder. Decoders raise errors of many types for damaged files."""
    with os.fdopen(os.dup(media), "rb") as file:
        file.seek(0)
        try:
            yield file
        except (MediaError, MemoryError):
            raise
        except Exception as error:
            raise corrupt("The image cannot be decoded: it is damaged.") from error


def by_pillow(media: int, format_name: str, max_pixels: int) -> Any:
    with (
        opened(media) as file,
        limited(max_pixels),
        PIL.Image.open(file, formats=[format_name]) as image,
    ):
        check_pixels(*image.size, max_pixels)
        image.load()
        check_pixels(*image.size, max_pixels)  # that of the image within an icon
        profile = image.info.get("icc_profile")
        decoded = in_vips(in_known_mode(image))
    if isinstance(profile, bytes) and profile:
        decoded.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return decoded


@contextmanager
def limited(max_pixels: int) -> Iterator[None]:
    """Limits the images within other images, such as the PNG in an icon, whose size only Pillow
    sees before it decodes them."""
    PIL.Image.MAX_IMAGE_PIXELS = max_pixels
    with warnings.catch_warnings():
        warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
        try:
            yield
        except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
            raise too_many_pixels("The image has too many pixels", max_pixels) from error


def by_libjxl(media: int, max_pixels: int) -> Any:
    with opened(media) as file:
        check_pixels(*jpeg_xl.size(file), max_pixels)
        file.seek(0)
        pixels, profile = jpeg_xl_decoder.decode(file.read(), max_pixels)
    height, width, bands = pixels.shape
    found = pyvips.Image.new_from_memory(pixels.data, width, height, bands, "uchar")
    decoded = found.copy(interpretation="srgb" if bands > 2 else "b-w")
    if profile:
        decoded.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return decoded


def in_known_mode(image: Any) -> Any:
    """Returns the image in a mode of INTERPRETATIONS, in Lab, or with one deep channel."""
    if image.mode in {*INTERPRETATIONS, "LAB", "F", "I"} or image.mode.startswith("I;16"):
        return image
    if image.mode == "P":
        return image.convert("RGBA" if "transparency" in image.info else "RGB")
    return image.convert(CONVERTED.get(image.mode, "RGB"))


def in_vips(image: Any) -> Any:
    if name := INTERPRETATIONS.get(image.mode):
        bands = len(image.getbands())
        found = pyvips.Image.new_from_memory(image.tobytes(), *image.size, bands, "uchar")
        return found.copy(interpretation=name)
    pixels = np.asarray(image)
    if image.mode == "LAB":
        lab = np.dstack([pixels[..., 0] * np.float32(100 / 255), pixels[..., 1:].view(np.int8)])
        found = pyvips.Image.new_from_memory(lab.data, *image.size, 3, "float")
        return found.copy(interpretation="lab")
    if image.mode == "F":
        return from_linear(np.repeat(pixels[:, :, None].astype(np.float32), 3, axis=2))
    deep = np.ascontiguousarray(pixels.clip(0, 65535).astype(np.uint16))
    found = pyvips.Image.new_from_memory(deep.data, *image.size, 1, "ushort")
    return found.copy(interpretation="grey16")


def by_ffmpeg(media: int, demuxer: str, max_pixels: int) -> Any:
    options = {"protocol_whitelist": "pipe"}
    with opened(media) as file, av.open(file, format=demuxer, options=options) as container:
        stream = container.streams.video[0]
        check_pixels(stream.codec_context.width, stream.codec_context.height, max_pixels)
        stream.codec_context.thread_count = 1
        frame = next(container.decode(stream))
        check_pixels(frame.width, frame.height, max_pixels)
        has_alpha = "a" in frame.format.name.split("f32")[0].removeprefix("gray")
        planes = frame.to_ndarray(format="gbrapf32le" if has_alpha else "gbrpf32le")
        return from_linear(planes, has_alpha=has_alpha)


def by_libraw(media: int, max_pixels: int) -> Any:
    """Develops a camera RAW file as LibRaw does, with the white balance of the camera."""
    import rawpy  # noqa: PLC0415 - a large library for few files

    with opened(media) as file:
        try:
            with rawpy.imread(file) as raw:
                check_pixels(raw.sizes.width, raw.sizes.height, max_pixels)
                pixels = np.ascontiguousarray(raw.postprocess(use_camera_wb=True))
        except (
            rawpy.LibRawUnsufficientMemoryError,
            rawpy.LibRawMemPoolOverflowError,  # also if the allocation of its pixels fails
            rawpy.LibRawTooBigError,
        ) as error:
            raise MemoryError from error
    height, width, bands = pixels.shape
    found = pyvips.Image.new_from_memory(pixels.data, width, height, bands, "uchar")
    return found.copy(interpretation="srgb")
