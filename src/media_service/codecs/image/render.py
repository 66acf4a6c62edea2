"""Renders an image with a pipeline. All operations form a single graph, whose pixels are computed
once. Runs in a child process."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pyvips
from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.discovery import discover
from media_service.codecs.image import formats, operations
from media_service.codecs.image.compress import compress
from media_service.codecs.image.encode import Encoding, adapted, encode
from media_service.codecs.image.geometry import Image, Size
from media_service.codecs.image.libvips_errors import translate_errors
from media_service.codecs.image.load import LoadedImage, check_size, load
from media_service.codecs.image.metadata import with_exif
from media_service.codecs.image.operations import Context
from media_service.codecs.image.operations.resize import SIZES
from media_service.codecs.pipeline.operation_fields import with_defaults
from media_service.codecs.pipeline.pipeline import Step, stored_pipeline
from media_service.codecs.pipeline.sizes import drawing_steps, resize_sizes
from media_service.codecs.pipeline.text_form import OUTPUT_OPERATIONS
from media_service.errors import FailedPrecondition, Reason

OPERATIONS = discover(operations)
# The default settings of the encoder.
DEFAULT_CONVERT = with_defaults(Operation(convert=Operation.Convert())).convert


@translate_errors
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
    """Renders an image to the last of `files`.

    The first file is the original, of `content_type`, followed by the `overlays` (media id and
    content type). `deliver` has format names, best first, for a pipeline without a format.
    `max_pixels` limits each input. `max_output_pixels` limits each step and the result. `progress`
    is called with the percentage of computed pixels.
    Returns {"format": …, "width": …, "height": …}.
    """
    media, *others, output = files
    pyvips.cache_set_max(0)
    parsed = stored_pipeline(pipeline)
    drawing = drawing_steps(parsed, content_type)
    writing = {
        "convert": DEFAULT_CONVERT,
        **{name: message for name, message in parsed.steps if name in OUTPUT_OPERATIONS},
    }
    overlay_images = {
        media_id: load(file, kind, max_pixels, animated=False).frames[0].copy_memory()
        for file, (media_id, kind) in zip(others, overlays, strict=True)
    }
    names = candidate_formats(writing["convert"], deliver or formats.default_formats(content_type))
    animated = any(formats.FORMATS[name].animated for name in names)
    contexts = [Context(overlay_images, {}) for _ in drawing]
    first = drawing[0].parameters if drawing and drawing[0].name == "resize" else None
    scale = partial(target_size, first) if first else None
    loaded = load(media, content_type, max_pixels, animated=animated, scale=scale)
    if first:
        contexts[0].decided[SIZES] = resize_sizes(first, loaded.size)
    count = len(loaded.frames)
    frames = [draw(frame, drawing, contexts, count, max_output_pixels) for frame in loaded.frames]
    data, answer = write(frames, loaded, names, writing, progress)
    with os.fdopen(os.dup(output), "wb") as file:
        file.write(data)
    return answer


def target_size(p: Operation.Resize, size: Size) -> Size:
    """Returns the size to which the first resize of a pipeline scales, preferably while
    decoding."""
    return resize_sizes(p, size)[0]


def draw(
    image: Image,
    drawing: Sequence[Step],
    contexts: Sequence[Context],
    count: int,
    max_output_pixels: int,
) -> Image:
    """Adds all operations on one frame to the graph. Raises InvalidArgument
    (PROCESSING_LIMIT_EXCEEDED) before any pixel is computed."""
    for (name, message), context in zip(drawing, contexts, strict=True):
        image = OPERATIONS[name].apply(image, message, context)
        check_size(image.width, image.height, count, max_output_pixels)
    return image


def candidate_formats(convert: Operation.Convert, otherwise: Sequence[str]) -> Sequence[str]:
    """Raises FailedPrecondition (OPERATION_NOT_APPLICABLE)."""
    if not convert.format:
        return otherwise
    name = Operation.Format.Name(convert.format)
    if name not in formats.FORMATS:
        raise FailedPrecondition(
            Reason.OPERATION_NOT_APPLICABLE,
            f"{name} cannot be written; use one of {', '.join(formats.FORMATS)}.",
        )
    return [name]


def write(
    frames: Sequence[Image],
    loaded: LoadedImage,
    names: Sequence[str],
    steps: Mapping[str, Any],
    progress: Callable[[float], None] | None,
) -> tuple[bytes, dict[str, Any]]:
    """Encodes the image. Returns the file and the answer. `steps` configure the encoding."""
    convert = steps["convert"]
    image, height = frames[0], frames[0].height
    side = max(image.width, height)
    form = formats.choose(names, alpha=bool(image.hasalpha()), animated=len(frames) > 1, side=side)
    if form.animated and len(frames) > 1:
        image = join_frames(frames, loaded)
    image = adapted(image, form, height)
    keep = "metadata" in steps and steps["metadata"].policy == Operation.Metadata.KEEP
    if keep:
        image = with_exif(image, loaded.exif)
    if progress:
        report_progress(image, progress)
    quality = convert.quality if convert.HasField("quality") else form.quality or 0
    encoding = Encoding(form, quality, None, convert, keep)
    if "compress" in steps:
        data = compress(image, encoding, steps["compress"])
    else:
        data = encode(image, encoding)
    return data, {"format": form.name, "width": image.width, "height": height}


def report_progress(image: Image, progress: Callable[[float], None]) -> None:
    """Reports the percentage of computed pixels while the image is encoded."""
    image.set_progress(True)
    image.signal_connect("eval", lambda _, state: progress(state.percent))


def join_frames(frames: Sequence[Image], loaded: LoadedImage) -> Image:
    """Joins frames to an animation as libvips represents it: stacked vertically."""
    image = pyvips.Image.arrayjoin(list(frames), across=1).copy()
    image.set_type(pyvips.GValue.gint_type, "page-height", frames[0].height)
    image.set_type(pyvips.GValue.gint_type, "loop", loaded.loop)
    if loaded.delays:
        image.set_type(pyvips.GValue.array_int_type, "delay", loaded.delays)
    return image
