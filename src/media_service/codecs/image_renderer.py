"""Renders images in sandboxed child processes. This process never opens an image."""

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from media_service.codecs.image.formats import FORMATS
from media_service.codecs.image.source import ImageSource
from media_service.codecs.limits import (
    IMAGE_LIMITS,
    ROW_PIXELS,
    THUMBNAIL_LIMITS,
    TRUSTED_TYPES,
    image_limits,
)
from media_service.codecs.memory_budget import MemoryBudget
from media_service.codecs.memory_estimate import estimate_memory, possible_formats
from media_service.codecs.pipeline.pipeline import Pipeline
from media_service.codecs.pipeline.sizes import trace_sizes
from media_service.codecs.sandbox.forks import ForkServer
from media_service.codecs.sandbox.limits import ResourceLimits
from media_service.codecs.sandbox.pool import Sandbox
from media_service.errors import InvalidArgument, Reason
from media_service.temporary_files import temporary_file

RENDER = "media_service.codecs.image.render:render"
THUMBNAILS = "media_service.codecs.image.thumbnails:render_thumbnails"

# The maximum number of pixels of each step of a render on demand, in all frames together.
ON_DEMAND_MAX_PIXELS = 100_000_000
# Forking a child takes 10 ms of CPU time, a third of a thumbnail.
TASKS_PER_CHILD = 500
SCRATCH = "media-render-"
# The part of the memory that is reserved for small renders, and how many of them fit into it.
SMALL_SHARE, SMALL_RENDERS = 1 / 4, 2
BLURHASH = re.compile(r"[0-9A-Za-z#$%*+,\-.:;=?@\[\]^_{|}~]{6,100}")
COLOR = re.compile("[0-9a-f]{6}")
HASH = re.compile("[0-9a-f]{64}")
MAX_HASHES = 6


@dataclass(frozen=True, slots=True)
class RenderedImage:
    """A rendered image. The file exists until the context that yielded it ends."""

    path: Path
    content_type: str
    width: int
    height: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ThumbnailSet:
    """The thumbnails of an image, by name, placeholders for it, and its perceptual hashes."""

    thumbnails: Mapping[str, RenderedImage]
    blurhash: str
    dominant_color: str
    hashes: tuple[str, ...]


class ImageRenderer:
    """Renders in up to `children` child processes.

    `max_pixels` limits each input. `max_output_pixels`, if it is lower, limits each step of a
    pipeline and the result. All concurrent renders share `budget_bytes`. A render that does not fit
    waits. This is an async context manager: leaving it ends the children.
    """

    def __init__(
        self,
        fork_server: ForkServer,
        children: int,
        max_pixels: int,
        budget_bytes: int,
        *,
        limits: ResourceLimits = IMAGE_LIMITS,
        max_output_pixels: int | None = None,
    ) -> None:
        self._max_pixels = max_pixels
        self._max_output_pixels = min(max_pixels, max_output_pixels or max_pixels)
        self._limits = limits
        small_bytes = int(budget_bytes * SMALL_SHARE)
        self._budget = MemoryBudget(budget_bytes - small_bytes)
        # Small renders do not wait for large ones.
        self._small_budget = MemoryBudget(small_bytes)
        self._small_bytes = small_bytes // SMALL_RENDERS
        # Thumbnails are part of every upload, so they do not wait for larger renders.
        self._thumbnail_budget = MemoryBudget(budget_bytes)
        self._sandbox = Sandbox(
            fork_server, [RENDER, THUMBNAILS], limits, children, TASKS_PER_CHILD
        )

    async def __aenter__(self) -> Self:
        await self._sandbox.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._sandbox.__aexit__()

    @asynccontextmanager
    async def render(
        self,
        original: ImageSource,
        pipeline: Pipeline,
        *,
        overlays: Mapping[str, ImageSource] | None = None,
        deliver: Sequence[str] = (),
        progress: Callable[[int], None] | None = None,
    ) -> AsyncIterator[RenderedImage]:
        """Renders `original` with `pipeline`.

        `overlays` has the images that the pipeline names, by media id. `deliver` has format names,
        best first, for a pipeline without a format. The first format that can represent the image
        (alpha, animation) is used. If it is empty, the API's rules apply (Convert). `progress` is
        called with the increasing percentage of computed pixels.
        Raises InvalidArgument (MEDIA_CORRUPT, PROCESSING_LIMIT_EXCEEDED), FailedPrecondition
        (OPERATION_NOT_APPLICABLE, MAX_SIZE_TOO_SMALL), DataLoss (BLOB_MISSING), Unavailable
        (STORAGE_UNAVAILABLE, PROCESSING_UNAVAILABLE). Cancelling kills the child.
        """
        named = dict(overlays or {})
        sources = [original, *named.values()]
        for source in sources:
            self._check(source)
        memory_bytes, pixels = self._estimate(original, list(named.values()), pipeline, deliver)
        with temporary_file(SCRATCH) as output:
            async with self._budget_for(memory_bytes).reserve(memory_bytes):
                answer = await self._sandbox.run(
                    RENDER,
                    *(source.path for source in sources),
                    outputs=[output.fileno()],
                    last=not trusted(sources),
                    progress=progress,
                    limits=image_limits(self._limits, pixels),
                    content_type=original.content_type,
                    overlays=[(media_id, each.content_type) for media_id, each in named.items()],
                    pipeline=pipeline.text,
                    deliver=list(deliver),
                    max_pixels=self._max_pixels,
                    max_output_pixels=self._max_output_pixels,
                )
            yield checked_image(answer, Path(output.name))

    @asynccontextmanager
    async def render_thumbnails(
        self, original: ImageSource, sizes: Mapping[str, int]
    ) -> AsyncIterator[ThumbnailSet]:
        """Renders thumbnails, and decodes the image only once. `sizes` has their longest sides, by
        name. No thumbnail is larger than the image. Raises the errors of `render`."""
        self._check(original)
        with ExitStack() as stack:
            files = {name: stack.enter_context(temporary_file(SCRATCH)) for name in sizes}
            async with self._thumbnail_budget.reserve(original.decoded_bytes):
                answer = await self._sandbox.run(
                    THUMBNAILS,
                    original.path,
                    outputs=[file.fileno() for file in files.values()],
                    last=not trusted([original]),
                    limits=THUMBNAIL_LIMITS,
                    content_type=original.content_type,
                    sizes=list(sizes.values()),
                    max_pixels=self._max_pixels,
                )
            yield checked_thumbnails(answer, {n: Path(file.name) for n, file in files.items()})

    def _budget_for(self, size: int) -> MemoryBudget:
        small = size <= self._small_bytes and not self._budget.has_room(size)
        return self._small_budget if small else self._budget

    def _check(self, source: ImageSource) -> None:
        """Raises InvalidArgument (PROCESSING_LIMIT_EXCEEDED) if a source has too many pixels."""
        if source.pixels > self._max_pixels:
            raise too_large(source.pixels, self._max_pixels)

    def _estimate(
        self,
        original: ImageSource,
        overlays: Sequence[ImageSource],
        pipeline: Pipeline,
        deliver: Sequence[str],
    ) -> tuple[int, int]:
        """Estimates the bytes of memory that a render needs, and the pixels of its largest step.
        Raises InvalidArgument (PROCESSING_LIMIT_EXCEEDED)."""
        trace = trace_sizes(pipeline, (original.width, original.height), original.content_type)
        names = possible_formats(original, pipeline.format, deliver)
        animated = any(FORMATS[name].animated for name in names)
        frames = original.animation_frames if animated else 1
        largest = trace.largest * frames
        if trace.exact and largest > self._max_output_pixels:
            raise too_large(largest, self._max_output_pixels)
        rows = original.height * frames
        if rows * ROW_PIXELS > self._max_output_pixels:
            raise too_high(rows, self._max_output_pixels // ROW_PIXELS)
        memory_bytes = estimate_memory(original, overlays, trace, names)
        return memory_bytes, max(largest, original.pixels * frames)


def trusted(sources: Sequence[ImageSource]) -> bool:
    return all(source.content_type in TRUSTED_TYPES for source in sources)


def too_large(pixels: int, limit: int) -> InvalidArgument:
    return InvalidArgument(
        Reason.PROCESSING_LIMIT_EXCEEDED,
        f"The image would have {pixels} pixels at some step; the limit is {limit}.",
        limit="pixels",
        value=limit,
    )


def too_high(rows: int, limit: int) -> InvalidArgument:
    return InvalidArgument(
        Reason.PROCESSING_LIMIT_EXCEEDED,
        f"The image has {rows} rows of pixels; the limit is {limit}.",
        limit="rows",
        value=limit,
    )


def checked_image(answer: Any, path: Path) -> RenderedImage:
    """Checks the answer of a child that the file may have taken over. Raises InvalidArgument
    (MEDIA_CORRUPT)."""
    try:
        content_type = FORMATS[answer["format"]].content_type
        return rendered_image(path, content_type, answer["width"], answer["height"])
    except (KeyError, TypeError, ValueError):
        raise unreadable() from None


def checked_thumbnails(answer: Any, paths: Mapping[str, Path]) -> ThumbnailSet:
    """Like `checked_image`, for thumbnails."""
    try:
        thumbnails = {
            name: rendered_image(path, "image/webp", *size)
            for (name, path), size in zip(paths.items(), answer["sizes"], strict=True)
        }
        blurhash, color = answer["blurhash"], answer["dominant_color"]
        hashes = answer["hashes"]
        if not (BLURHASH.fullmatch(blurhash) and COLOR.fullmatch(color)):
            raise ValueError
        if len(hashes) > MAX_HASHES or not all(HASH.fullmatch(each) for each in hashes):
            raise ValueError
        return ThumbnailSet(thumbnails, blurhash, color, tuple(hashes))
    except (KeyError, TypeError, ValueError):
        raise unreadable() from None


def rendered_image(path: Path, content_type: str, width: int, height: int) -> RenderedImage:
    if not all(type(side) is int and 0 < side < 1 << 31 for side in (width, height)):
        raise ValueError
    return RenderedImage(path, content_type, width, height, path.stat().st_size)


def unreadable() -> InvalidArgument:
    return InvalidArgument(Reason.MEDIA_CORRUPT, "The image cannot be read.")
