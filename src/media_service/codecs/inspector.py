"""Inspects media files in sandboxed child processes. This process never opens a media file."""

import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias, overload

import msgspec

from media_service.codecs.ends import Ends, ImageLook
from media_service.codecs.inspect.limits import text
from media_service.codecs.inspection import (
    HASHES,
    MOMENTS,
    AudioInfo,
    DocumentInfo,
    ImageInfo,
    Info,
    Inspection,
    VideoInfo,
    validated,
)
from media_service.codecs.limits import INSPECTION_LIMITS, TRUSTED_TYPES, inspection_limits
from media_service.codecs.sandbox.exit_cause import corrupt
from media_service.codecs.sandbox.forks import ForkServer
from media_service.codecs.sandbox.pool import Sandbox, size_of
from media_service.codecs.strip.pieces import Piece
from media_service.codecs.strip.stripper import pieces_from
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.source import AvSource
from media_service.errors import FailedPrecondition, InvalidArgument, Reason

INSPECT = "media_service.codecs.inspect"
IMAGE = f"{INSPECT}.image:inspect"
AV = f"{INSPECT}.av:inspect"
DOCUMENT = f"{INSPECT}.document:inspect"
ENDS = f"{INSPECT}.ends:read_ends"
FRAMES = f"{INSPECT}.frame_hashes:hash_frames"
LOOK = f"{INSPECT}.look:look_at_image"
WORDS = f"{INSPECT}.words:read_words"
STRIP = "media_service.codecs.strip.plan:plan"
# The task for each kind of media.
TASKS = {"IMAGE": IMAGE, "VIDEO": AV, "AUDIO": AV, "DOCUMENT": DOCUMENT}

IMAGES_PER_CHILD = 50
Hash: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
# The first and the last frame of a result are at most this far, in seconds of the result, or one
# frame from the begin and the end of the range in its source.
MARGIN_SECONDS = 0.1

log = logging.getLogger(__name__)


class Inspector:
    """Inspects files in at most `children` child processes for images, and as many for other media.
    This is an async context manager: leaving it ends the children."""

    def __init__(self, fork_server: ForkServer, max_pixels: int, children: int) -> None:
        self._max_pixels = max_pixels
        self._images = Sandbox(
            fork_server, [IMAGE, LOOK], INSPECTION_LIMITS, children, IMAGES_PER_CHILD
        )
        # Demuxers are a larger attack surface. Each file gets a new child.
        self._others = Sandbox(
            fork_server, [AV, DOCUMENT, ENDS, FRAMES, STRIP, WORDS], INSPECTION_LIMITS, children, 1
        )
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._images)
        await self._stack.enter_async_context(self._others)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @overload
    async def inspect(
        self, path: Path, kind: Literal["IMAGE"], content_type: str
    ) -> Inspection[ImageInfo]: ...

    @overload
    async def inspect(
        self, path: Path, kind: Literal["VIDEO"], content_type: str
    ) -> Inspection[VideoInfo]: ...

    @overload
    async def inspect(
        self, path: Path, kind: Literal["AUDIO"], content_type: str
    ) -> Inspection[AudioInfo]: ...

    @overload
    async def inspect(
        self, path: Path, kind: Literal["DOCUMENT"], content_type: str
    ) -> Inspection[DocumentInfo]: ...

    @overload
    async def inspect(self, path: Path, kind: str, content_type: str) -> Inspection[Info]: ...

    async def inspect(self, path: Path, kind: str, content_type: str) -> Inspection[Info]:
        """Inspects the file at `path`, which was taken for `content_type` and `kind`: IMAGE, VIDEO,
        AUDIO or DOCUMENT. The result may be of another type and kind: VIDEO and AUDIO share
        containers.

        Raises InvalidArgument (MEDIA_CORRUPT, PIXEL_LIMIT_EXCEEDED,
        INSPECTION_LIMIT_EXCEEDED), DataLoss (BLOB_MISSING), Unavailable (STORAGE_UNAVAILABLE).
        """
        children = self._images if kind == "IMAGE" else self._others
        limited: dict[str, Any] = {}
        if kind != "DOCUMENT":
            limited["max_pixels"] = self._max_pixels
        answer = await children.run(
            TASKS[kind],
            path,
            last=content_type not in TRUSTED_TYPES,
            limits=inspection_limits(size_of(path)),
            content_type=content_type,
            **limited,
        )
        return validated(answer, kind, content_type)

    async def source_ends(self, source: AvSource, edits: Edits) -> Ends:
        """Reads how the edited range of a source begins and ends, as far as that is possible. A
        result may begin or end with another frame nearby, so the darkest frames there count. Of an
        audio file, reads only how its tracks end. Raises DataLoss (BLOB_MISSING), Unavailable
        (STORAGE_UNAVAILABLE, PROCESSING_UNAVAILABLE)."""
        track = source.video_track.index if source.has_video else None
        try:
            return await self.read_ends(
                source.path,
                source.content_type,
                track,
                edits.start,
                edits.end,
                MARGIN_SECONDS * edits.speed,
            )
        except InvalidArgument:
            return Ends()

    async def result_ends(self, path: Path, content_type: str, end: float | None) -> Ends | None:
        """Reads how a result begins and ends. Returns None if that exceeds a limit. Raises the
        other errors of `inspect`."""
        try:
            return await self.read_ends(path, content_type, 0, 0.0, end)
        except InvalidArgument as error:
            if error.reason == Reason.MEDIA_CORRUPT:
                raise
            log.warning("A result is not compared with its source: %s", error)
            return None

    async def without_metadata(self, path: Path, content_type: str) -> Sequence[Piece]:
        """The pieces of which the file without its metadata consists. Raises InvalidArgument
        (METADATA_NOT_REMOVABLE), and the other errors of `inspect`."""
        size = size_of(path)
        answer = await self._others.run(
            STRIP, path, last=True, limits=inspection_limits(size), content_type=content_type
        )
        return pieces_from(answer, size, content_type)

    async def words_of(self, path: Path, content_type: str, most: int) -> str:
        """The first characters of the text of a document. Empty if it has none, or none that can be
        read. Raises DataLoss (BLOB_MISSING), Unavailable (STORAGE_UNAVAILABLE)."""
        try:
            answer = await self._others.run(
                WORDS,
                path,
                last=True,
                limits=inspection_limits(size_of(path)),
                content_type=content_type,
                most=most,
            )
        except (InvalidArgument, FailedPrecondition) as error:
            log.info("The text of a document cannot be read: %s", error)
            return ""
        return text(answer, most) if isinstance(answer, str) else ""

    async def frame_hashes(self, source: AvSource, rotation_degrees: int) -> Sequence[str | None]:
        """The perceptual hashes of a video: of the frame at each of some moments, `HASHES`; None
        where none can be compared. Empty if the video has no such frame. Raises DataLoss
        (BLOB_MISSING), Unavailable (STORAGE_UNAVAILABLE)."""
        try:
            answer = await self._others.run(
                FRAMES,
                source.path,
                last=True,
                limits=inspection_limits(size_of(source.path)),
                content_type=source.content_type,
                track=source.video_track.index,
                duration_seconds=source.duration_seconds,
                rotation_degrees=rotation_degrees,
            )
            found = checked_hashes(answer)
        except (InvalidArgument, FailedPrecondition, ValueError) as error:
            log.info("The frames of a video cannot be compared: %s", error)
            return ()
        if not any(found):
            return ()
        nothing: Sequence[str | None] = [None] * HASHES
        return [each for frame in found for each in (frame or nothing)]

    async def look_at(self, path: Path, content_type: str) -> ImageLook:
        """Examines how an image looks that was rendered. Raises the errors of `inspect`."""
        answer = await self._images.run(
            LOOK,
            path,
            last=content_type not in TRUSTED_TYPES,
            limits=inspection_limits(size_of(path)),
            content_type=content_type,
        )
        try:
            return msgspec.convert(answer, ImageLook)
        except msgspec.ValidationError:
            raise corrupt("It cannot be read.") from None

    async def read_ends(
        self,
        path: Path,
        content_type: str,
        track: int | None,
        start: float,
        end: float | None,
        margin: float | None = None,
    ) -> Ends:
        """Reads how a range of a video begins and ends; see `inspect.ends.read_ends`. Raises the
        errors of `inspect`."""
        answer = await self._others.run(
            ENDS,
            path,
            last=True,
            limits=inspection_limits(size_of(path)),
            content_type=content_type,
            track=track,
            start=start,
            end=end,
            margin=margin,
        )
        try:
            return msgspec.convert(answer, Ends)
        except msgspec.ValidationError:
            raise corrupt("It cannot be read.") from None


def checked_hashes(answer: Any) -> Sequence[Sequence[str]]:
    """Raises ValueError if this is not what `hash_frames` returns."""
    found = msgspec.convert(answer, list[list[Hash]])
    if any(len(frame) not in {0, HASHES} for frame in found) or len(found) != MOMENTS:
        raise ValueError("it has another number of hashes")
    return found
