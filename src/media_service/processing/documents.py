"""Makes pictures and text of documents, without ever opening one in this process."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from media_service.errors import Reason
from media_service.processing.made import Made
from media_service.processing.pipeline.way import Step
from media_service.processing.sandbox.death import corrupt
from media_service.processing.sandbox.limits import Limits
from media_service.processing.sandbox.pool import Sandbox
from media_service.scratch import scratch_file

PAGE = "media_service.processing.document.page:draw"
TEXT = "media_service.processing.document.text:extract"

LIMITS = Limits(
    # A page of 67 megapixels, and transparent groups of the same size on it.
    memory_bytes=2 << 30,
    # A hundred thousand pages of text.
    cpu_seconds=600,
    wall_seconds=1200,
    # A page of 8192 × 8192 pixels that PNG cannot compress; and more text than people write.
    file_bytes=256 << 20,
    result_bytes=1 << 16,
    exceeded=Reason.PROCESSING_LIMIT_EXCEEDED,
)
SCRATCH = "media-render-"


class Documents:
    """Opens each document in a fresh child of its own, up to `children` at once. An async context
    manager: leaving it ends them."""

    def __init__(self, children: int, *, limits: Limits = LIMITS) -> None:
        self._sandbox = Sandbox([PAGE, TEXT], limits, children, 1, warm=True)

    async def __aenter__(self) -> Self:
        await self._sandbox.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._sandbox.__aexit__()

    @asynccontextmanager
    async def make(
        self, path: Path, content_type: str, steps: Sequence[Step], told: Callable[[float], None]
    ) -> AsyncIterator[Sequence[Made]]:
        """What a pipeline makes of a document, up to where pictures begin. The files are there for
        as long as the context lasts.

        Raises InvalidArgument (MEDIA_CORRUPT), FailedPrecondition (OPERATION_NOT_APPLICABLE,
        DOCUMENT_ENCRYPTED), TooLarge (PROCESSING_LIMIT_EXCEEDED), DataLoss (BLOB_MISSING),
        Unavailable (STORAGE_UNAVAILABLE, PROCESSING_UNAVAILABLE).
        """
        [(name, message)] = steps  # each of them ends what is done to a document
        with scratch_file(SCRATCH) as output:
            file, result = output.fileno(), Path(output.name)
            if name == "page":
                answer = await self._sandbox.run(
                    PAGE, path, outputs=[file], number=message.number, size=message.size
                )
                yield [Made(result, "image/png", *checked(answer, message.size))]
            else:
                page = message.page if message.HasField("page") else None
                await self._sandbox.run(
                    TEXT,
                    path,
                    outputs=[file],
                    progress=lambda percent: told(percent / 100),
                    page=page,
                )
                yield [Made(result, "text/plain; charset=utf-8")]


def checked(answer: Any, size: int) -> tuple[int, int]:
    """The child that answered may have been taken over by the file it read. Raises InvalidArgument
    (MEDIA_CORRUPT)."""
    match answer:
        case [int(width), int(height)] if min(width, height) > 0 and max(width, height) == size:
            return width, height
    raise corrupt("It cannot be read.")
