"""Decodes JPEG XL with libjxl, which is part of the package `imagecodecs`.

The functions of that package return no color profile, so this calls the library through its C
interface, which is stable (`jxl/decode.h`). Runs in a child process.
"""

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from media_service.codecs.limits import check_pixels
from media_service.codecs.sandbox.exit_cause import corrupt

SUCCESS, NEEDS_BUFFER, HAS_SIZE, HAS_COLORS, HAS_IMAGE = 0, 5, 0x40, 0x100, 0x1000
OF_PIXELS = 1  # the color profile of the decoded pixels
UINT8 = 2
# One step for each event before the first frame is complete.
MOST_STEPS = 10

Allocate = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
Free = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


class MemoryManager(ctypes.Structure):
    _fields_ = (("opaque", ctypes.c_void_p), ("allocate", Allocate), ("free", Free))


class PixelFormat(ctypes.Structure):
    _fields_ = (
        ("channels", ctypes.c_uint32),
        ("type", ctypes.c_int),
        ("endianness", ctypes.c_int),
        ("align", ctypes.c_size_t),
    )


class BasicInfo(ctypes.Structure):
    """`width` and `height` are those after rotation."""

    _fields_ = (
        ("have_container", ctypes.c_int),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("bits_per_sample", ctypes.c_uint32),
        ("exponent_bits_per_sample", ctypes.c_uint32),
        ("intensity_target", ctypes.c_float),
        ("min_nits", ctypes.c_float),
        ("relative_to_max_display", ctypes.c_int),
        ("linear_below", ctypes.c_float),
        ("uses_original_profile", ctypes.c_int),
        ("have_preview", ctypes.c_int),
        ("have_animation", ctypes.c_int),
        ("orientation", ctypes.c_int),
        ("color_channels", ctypes.c_uint32),
        ("extra_channels", ctypes.c_uint32),
        ("alpha_bits", ctypes.c_uint32),
        ("rest", ctypes.c_uint8 * 256),
    )


def decode(data: bytes, max_pixels: int) -> tuple[Any, bytes]:
    """Returns the first frame, upright, as an array of height × width × channels, and the ICC
    profile of its pixels. Raises InvalidArgument (MEDIA_CORRUPT, PIXEL_LIMIT_EXCEEDED),
    MemoryError."""
    library = libjxl()
    memory = Memory()
    decoder = library.JxlDecoderCreate(ctypes.byref(memory.manager))
    if not decoder:
        raise MemoryError
    try:
        return first_frame(library, decoder, data, max_pixels)
    except Exception as error:
        if memory.exhausted:
            raise MemoryError from error
        raise
    finally:
        library.JxlDecoderDestroy(decoder)


class Memory:
    """Allocates memory for the decoder, which does not say that it had too little."""

    def __init__(self) -> None:
        self.exhausted = False
        library = ctypes.CDLL(None)
        malloc, free = library.malloc, library.free
        malloc.argtypes, malloc.restype = (ctypes.c_size_t,), ctypes.c_void_p
        free.argtypes, free.restype = (ctypes.c_void_p,), None

        def allocate(_: Any, size: int) -> int | None:
            found: int | None = malloc(size)
            self.exhausted |= not found
            return found

        def release(_: Any, address: int | None) -> None:
            free(address)

        self.manager = MemoryManager(None, Allocate(allocate), Free(release))


def first_frame(library: Any, decoder: int, data: bytes, max_pixels: int) -> tuple[Any, bytes]:
    def checked(status: int) -> None:
        if status != SUCCESS:
            raise corrupt("The image cannot be decoded: it is damaged.")

    checked(library.JxlDecoderSubscribeEvents(decoder, HAS_SIZE | HAS_COLORS | HAS_IMAGE))
    checked(library.JxlDecoderSetUnpremultiplyAlpha(decoder, 1))
    checked(library.JxlDecoderSetInput(decoder, data, len(data)))
    library.JxlDecoderCloseInput(decoder)
    info, profile, pixels = BasicInfo(), b"", np.empty((0, 0, 0), np.uint8)
    for _ in range(MOST_STEPS):
        status = library.JxlDecoderProcessInput(decoder)
        if status == HAS_SIZE:
            checked(library.JxlDecoderGetBasicInfo(decoder, ctypes.byref(info)))
            check_pixels(info.width, info.height, max_pixels)
        elif status == HAS_COLORS:
            profile = color_profile(library, decoder, checked)
        elif status == NEEDS_BUFFER:
            channels = info.color_channels + (info.alpha_bits > 0)
            pixels = np.empty((info.height, info.width, channels), np.uint8)
            layout = ctypes.byref(PixelFormat(channels, UINT8, 0, 0))
            buffer = pixels.ctypes.data_as(ctypes.c_void_p)
            checked(library.JxlDecoderSetImageOutBuffer(decoder, layout, buffer, pixels.nbytes))
        elif status == HAS_IMAGE:
            return pixels, profile
        else:
            break
    raise corrupt("The image cannot be decoded: it is damaged.")


def color_profile(library: Any, decoder: int, checked: Callable[[int], None]) -> bytes:
    size = ctypes.c_size_t()
    if library.JxlDecoderGetICCProfileSize(decoder, OF_PIXELS, ctypes.byref(size)) != SUCCESS:
        return b""  # its colors have no ICC profile
    profile = ctypes.create_string_buffer(size.value)
    checked(library.JxlDecoderGetColorAsICCProfile(decoder, OF_PIXELS, profile, size))
    return profile.raw


@cache
def libjxl() -> Any:
    """The library, which the import of the extension loads with those that it needs."""
    extension = Path(str(import_module("imagecodecs._jpegxl").__file__))
    folder, name = extension.parent.parent / "imagecodecs.libs", "libjxl-*.so*"
    if sys.platform == "darwin":
        folder, name = extension.parent / ".dylibs", "libjxl.*.dylib"
    library = ctypes.CDLL(str(next(folder.glob(name))))
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    library.JxlDecoderCreate.restype = pointer
    signatures: tuple[tuple[Any, ...], ...] = (
        (library.JxlDecoderCreate, pointer),
        (library.JxlDecoderDestroy, pointer),
        (library.JxlDecoderCloseInput, pointer),
        (library.JxlDecoderProcessInput, pointer),
        (library.JxlDecoderSubscribeEvents, pointer, ctypes.c_int),
        (library.JxlDecoderSetUnpremultiplyAlpha, pointer, ctypes.c_int),
        (library.JxlDecoderSetInput, pointer, ctypes.c_char_p, size),
        (library.JxlDecoderGetBasicInfo, pointer, pointer),
        (library.JxlDecoderGetICCProfileSize, pointer, ctypes.c_int, pointer),
        (library.JxlDecoderGetColorAsICCProfile, pointer, ctypes.c_int, pointer, size),
        (library.JxlDecoderSetImageOutBuffer, pointer, pointer, pointer, size),
    )
    for function, *arguments in signatures:
        function.argtypes = arguments
    return library
