"""Makes pictures from pictures, without ever opening one in this process."""

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from media_service.codecs.image.formats import FORMATS
from media_service.codecs.image.source import ImageSource
from media_service.codecs.memory_budget import MemoryBudget
from media_service.codecs.memory_estimate import estimate_memory, formats
from media_service.codecs.pipeline.pipeline import stored_pipeline
from media_service.codecs.pipeline.sizes import trace_sizes
from media_service.codecs.sandbox.limits import ResourceLimits
from media_service.codecs.sandbox.pool import Sandbox
from media_service.errors import InvalidArgument, Reason
from media_service.temporary_files import temporary_file

RENDER = "media_service.codecs.image.render:render"
STANDARD = "media_service.codecs.image.thumbnails:standard"

LIMITS = ResourceLimits(
    # The largest picture taken, decoded, twice; and what libraries take.
    memory_bytes=4 << 30,
    cpu_seconds=120,
    wall_seconds=120,
    file_bytes=1 << 30,
    result_bytes=1 << 16,
    exceeded=Reason.PROCESSING_LIMIT_EXCEEDED,
)
# While somebody waits for it. What takes longer is for a job.
ON_DEMAND_LIMITS = replace(LIMITS, cpu_seconds=30, wall_seconds=15, file_bytes=64 << 20)
# That are made of a picture while somebody waits, in any step, all frames together.
ON_DEMAND_MAX_PIXELS = 100_000_000
# The start of a child takes half a second of a processor, as much as twelve thumbnails: spread over
# this many it is a fortieth of the work.
PICTURES_PER_CHILD = 500
# Loaders that have been looked at by fewer, or parse more. A child that opened a picture of another
# type serves so many others and no more, of whomever: what took it over saw no more than these.
SAFER = {"image/jpeg", "image/png", "image/webp"}
AFTER_OTHERS = 50
SCRATCH = "media-render-"
BLURHASH = re.compile(r"[0-9A-Za-z#$%*+,\-.:;=?@\[\]^_{|}~]{6,100}")
COLOR = re.compile("#[0-9a-f]{6}")


@dataclass(frozen=True, slots=True)
class RenderedImage:
    """A picture that was made. The file is there for as long as the context that gave it."""

    path: Path
    content_type: str
    width: int
    height: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ThumbnailSet:
    """What a picture gets when it arrives: its thumbnails, by name, and how it looks."""

    thumbnails: Mapping[str, RenderedImage]
    blurhash: str
    dominant_color: str


class ImageRenderer:
    """Renders in `children` child processes, which are kept warm. `max_pixels`: of a picture that
    is taken, and `max_output_pixels` of its renditions, if that is less. `budget_bytes` is for all
    pictures together: what does not fit in at once waits. An async context manager: leaving it
    ends the children."""

    def __init__(
        self,
        children: int,
        max_pixels: int,
        budget_bytes: int,
        *,
        limits: ResourceLimits = LIMITS,
        max_output_pixels: int | None = None,
    ) -> None:
        self._max_pixels = max_pixels
        self._most_pixels = min(max_pixels, max_output_pixels or max_pixels)
        self._budget = MemoryBudget(budget_bytes)
        self._sandbox = Sandbox([RENDER, STANDARD], limits, children, PICTURES_PER_CHILD, warm=True)

    async def __aenter__(self) -> Self:
        await self._sandbox.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._sandbox.__aexit__()

    @asynccontextmanager
    async def render(
        self,
        original: ImageSource,
        pipeline: str,
        *,
        overlays: Mapping[str, ImageSource] | None = None,
        deliver: Sequence[str] = (),
        progress: Callable[[int], None] | None = None,
    ) -> AsyncIterator[RenderedImage]:
        """A picture made by `pipeline`, in its canonical form.

        `overlays`: the pictures it names, by media id. `deliver`: names of formats, best first,
        if the pipeline names none; the first that holds the picture as it is (transparent,
        animated) is taken. Without, the contract says which it is (Convert). `progress`: is told
        how many percent of the pixels are computed, which rises.

        Raises InvalidArgument (MEDIA_CORRUPT), FailedPrecondition (OPERATION_NOT_APPLICABLE,
        MAX_BYTES_TOO_SMALL), InvalidArgument (PROCESSING_LIMIT_EXCEEDED), DataLoss (BLOB_MISSING),
        Unavailable (STORAGE_UNAVAILABLE, PROCESSING_UNAVAILABLE). Cancelling it kills the child.
        """
        laid = dict(overlays or {})
        sources = [original, *laid.values()]
        for source in sources:
            self._check(source)
        needed = self._charge(original, list(laid.values()), pipeline, deliver)
        with temporary_file(SCRATCH) as output:
            async with self._budget.of(needed):
                answer = await self._sandbox.run(
                    RENDER,
                    *(source.path for source in sources),
                    outputs=[output.fileno()],
                    then=after(sources),
                    progress=progress,
                    content_type=original.content_type,
                    overlays=[(media_id, source.content_type) for media_id, source in laid.items()],
                    pipeline=pipeline,
                    deliver=list(deliver),
                    max_pixels=self._max_pixels,
                    max_output_pixels=self._most_pixels,
                )
            yield checked(answer, Path(output.name))

    @asynccontextmanager
    async def render_thumbnails(
        self, original: ImageSource, sizes: Mapping[str, int]
    ) -> AsyncIterator[ThumbnailSet]:
        """Thumbnails of a picture, none larger than itself: `sizes` has their longest sides, by
        name. All of them come from one decoding. Raises as `render`."""
        self._check(still := replace(original, frames=1))
        with ExitStack() as stack:
            files = {name: stack.enter_context(temporary_file(SCRATCH)) for name in sizes}
            async with self._budget.of(still.decoded):
                answer = await self._sandbox.run(
                    STANDARD,
                    original.path,
                    outputs=[file.fileno() for file in files.values()],
                    then=after([original]),
                    content_type=original.content_type,
                    sizes=list(sizes.values()),
                    max_pixels=self._max_pixels,
                )
            yield checked_standard(answer, {n: Path(file.name) for n, file in files.items()})

    def _check(self, source: ImageSource) -> None:
        """Raises InvalidArgument (PROCESSING_LIMIT_EXCEEDED)."""
        if source.pixels > self._max_pixels:
            raise too_large(source.pixels, self._max_pixels)

    def _charge(
        self,
        original: ImageSource,
        overlays: Sequence[ImageSource],
        pipeline: str,
        deliver: Sequence[str],
    ) -> int:
        """Bytes that it needs. Raises InvalidArgument (PROCESSING_LIMIT_EXCEEDED)."""
        way = trace_sizes(pipeline, (original.width, original.height), original.content_type)
        names = formats(original, stored_pipeline(pipeline).format, deliver)
        animated = any(FORMATS[name].animated for name in names)
        largest = way.largest * (original.moving if animated else 1)
        if way.known and largest > self._most_pixels:
            raise too_large(largest, self._most_pixels)
        return estimate_memory(original, overlays, way, names)


def after(sources: Sequence[ImageSource]) -> int | None:
    """How many others a child may serve that opened these."""
    return None if all(s.content_type in SAFER for s in sources) else AFTER_OTHERS


def too_large(pixels: int, most: int) -> InvalidArgument:
    return InvalidArgument(
        Reason.PROCESSING_LIMIT_EXCEEDED,
        f"A picture would have {pixels} pixels on the way, and at most {most} are processed.",
    )


def checked(answer: Any, path: Path) -> RenderedImage:
    """The child that answered may have been taken over by the file it read. Raises InvalidArgument
    (MEDIA_CORRUPT)."""
    try:
        content_type = FORMATS[answer["format"]].content_type
        return made(path, content_type, answer["width"], answer["height"])
    except (KeyError, TypeError, ValueError):
        raise unreadable() from None


def checked_standard(answer: Any, paths: Mapping[str, Path]) -> ThumbnailSet:
    """As `checked`."""
    try:
        thumbnails = {
            name: made(path, "image/webp", *size)
            for (name, path), size in zip(paths.items(), answer["sizes"], strict=True)
        }
        look = answer["blurhash"], answer["dominant_color"]
        if not (BLURHASH.fullmatch(look[0]) and COLOR.fullmatch(look[1])):
            raise ValueError
        return ThumbnailSet(thumbnails, *look)
    except (KeyError, TypeError, ValueError):
        raise unreadable() from None


def made(path: Path, content_type: str, width: int, height: int) -> RenderedImage:
    if not all(type(side) is int and 0 < side < 1 << 31 for side in (width, height)):
        raise ValueError
    return RenderedImage(path, content_type, width, height, path.stat().st_size)


def unreadable() -> InvalidArgument:
    return InvalidArgument(Reason.MEDIA_CORRUPT, "It cannot be read.")
