"""One picture by one pipeline: a single graph, whose pixels are computed once. Runs in a child."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pyvips
from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image import formats, operations
from media_service.codecs.image.compress import compress
from media_service.codecs.image.encode import Encoding, encode, suited
from media_service.codecs.image.geometry import Image, Size
from media_service.codecs.image.libvips_errors import told
from media_service.codecs.image.load import Picture, check_size, load
from media_service.codecs.image.metadata import with_exif
from media_service.codecs.image.operations import Context
from media_service.codecs.image.operations.resize import SIZES
from media_service.codecs.pipeline.operation_fields import unpack, with_defaults
from media_service.codecs.pipeline.sizes import sizes
from media_service.codecs.pipeline.text_form import OUTPUT_OPERATIONS, parse_text
from media_service.errors import FailedPrecondition, Reason

FUNCTIONS = operations.load()
# How a picture is written if nothing is said.
DRAWING = "image/svg+xml"
PLAIN = with_defaults(Operation(convert=Operation.Convert())).convert


@told
def render(
    *files: int,
    content_type: str,
    overlays: Sequence[tuple[str, str]],
    pipeline: str,
    deliver: Sequence[str],
    max_pixels: int,
    max_output_pixels: int,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Makes a picture, and writes it to the last of `files`.

    The first is the original, of `content_type`, and between them are `overlays` (media id and
    content type). `deliver` names formats, best first, if the pipeline names none.
    `max_pixels` may be opened, and `max_output_pixels` made of them. `progress`: is told how many
    percent of the pixels are computed. Returns {"format": …, "width": …, "height": …}.
    """
    media, *others, output = files
    pyvips.cache_set_max(0)
    steps = [unpack(with_defaults(operation)) for operation in parse_text(pipeline)]
    drawing = [(name, message) for name, message in steps if name not in OUTPUT_OPERATIONS]
    writing = {
        "convert": PLAIN,
        **{name: message for name, message in steps if name in OUTPUT_OPERATIONS},
    }
    laid = {
        media_id: load(file, kind, max_pixels, animated=False).frames[0].copy_memory()
        for file, (media_id, kind) in zip(others, overlays, strict=True)
    }
    names = wanted_formats(writing["convert"], deliver or formats.like(content_type))
    animated = any(formats.FORMATS[name].animated for name in names)
    contexts = [Context(laid, {}) for _ in drawing]
    first = drawing[0][1] if drawing and drawing[0][0] == "resize" else None
    if first and content_type == DRAWING:
        first.enlarge = True  # it has no pixels of its own
    scale = partial(scaled, first) if first else None
    picture = load(media, content_type, max_pixels, animated=animated, scale=scale)
    if first:
        contexts[0].decided[SIZES] = sizes(first, picture.size)
    count = len(picture.frames)
    frames = [draw(frame, drawing, contexts, count, max_output_pixels) for frame in picture.frames]
    data, about = write(frames, picture, names, writing, progress)
    with os.fdopen(os.dup(output), "wb") as file:
        file.write(data)
    return about


def scaled(p: Operation.Resize, size: Size) -> Size:
    """What a picture is scaled to by a pipeline that begins so: best as it is read."""
    return sizes(p, size)[0]


def draw(
    image: Image,
    drawing: Sequence[tuple[str, Any]],
    contexts: Sequence[Context],
    count: int,
    max_output_pixels: int,
) -> Image:
    """One frame through all operations. What would become too large is not begun."""
    for (name, message), context in zip(drawing, contexts, strict=True):
        image = FUNCTIONS[name](image, message, context)
        check_size(image.width, image.height, count, max_output_pixels)
    return image


def wanted_formats(convert: Operation.Convert, otherwise: Sequence[str]) -> Sequence[str]:
    """Raises FailedPrecondition (OPERATION_NOT_APPLICABLE)."""
    if not convert.format:
        return otherwise
    name = Operation.Format.Name(convert.format)
    if name not in formats.FORMATS:
        raise FailedPrecondition(
            Reason.OPERATION_NOT_APPLICABLE,
            f"{name} cannot be written here; there are {', '.join(formats.FORMATS)}.",
        )
    return [name]


def write(
    frames: Sequence[Image],
    picture: Picture,
    names: Sequence[str],
    steps: Mapping[str, Any],
    progress: Callable[[float], None] | None,
) -> tuple[bytes, dict[str, Any]]:
    """The file, and what is told of it; `steps`: those that say how it is written."""
    convert = steps["convert"]
    image, height = frames[0], frames[0].height
    side = max(image.width, height)
    form = formats.choose(names, alpha=bool(image.hasalpha()), animated=len(frames) > 1, side=side)
    if form.animated and len(frames) > 1:
        image = joined(frames, picture)
    image = suited(image, form, height)
    keep = "metadata" in steps and steps["metadata"].policy == Operation.Metadata.KEEP
    if keep:
        image = with_exif(image, picture.exif)
    if progress:
        watch(image, progress)
    quality = convert.quality if convert.HasField("quality") else form.quality or 0
    encoding = Encoding(form, quality, None, convert, keep)
    if "compress" in steps:
        data = compress(image, encoding, steps["compress"])
    else:
        data = encode(image, encoding)
    return data, {"format": form.name, "width": image.width, "height": height}


def watch(image: Image, progress: Callable[[float], None]) -> None:
    """Has it told how much of the picture, and of what is made of it, is computed."""
    image.set_progress(True)
    image.signal_connect("eval", lambda _, state: progress(state.percent))


def joined(frames: Sequence[Image], picture: Picture) -> Image:
    """An animation, as libvips wants it: its frames below one another."""
    image = pyvips.Image.arrayjoin(list(frames), across=1).copy()
    image.set_type(pyvips.GValue.gint_type, "page-height", frames[0].height)
    image.set_type(pyvips.GValue.gint_type, "loop", picture.loop)
    if picture.delays:
        image.set_type(pyvips.GValue.array_int_type, "delay", picture.delays)
    return image
