"""Makes pictures and text of documents, without ever opening one in this process."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import IO, Any, Self

from media_service.codecs.document import office
from media_service.codecs.output import Output
from media_service.codecs.pipeline.route import Step
from media_service.codecs.sandbox.exit_cause import corrupt
from media_service.codecs.sandbox.limits import ResourceLimits
from media_service.codecs.sandbox.pool import Sandbox
from media_service.errors import FailedPrecondition, Reason, Unimplemented
from media_service.temporary_files import temporary_file

PDF = "application/pdf"
PAGE = "media_service.codecs.document.page:draw"
TEXT = "media_service.codecs.document.text:extract"
CONVERT = "media_service.codecs.document.office:convert"

LIMITS = ResourceLimits(
    # A page of 67 megapixels, and transparent groups of the same size on it. LibreOffice takes one
    # half of it before it opens anything.
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


class DocumentRenderer:
    """Opens each document in a fresh child of its own, up to `children` at once. `programs`: those
    of LibreOffice, if there are any. An async context manager: leaving it ends the children."""

    def __init__(
        self, children: int, programs: Path | None, *, limits: ResourceLimits = LIMITS
    ) -> None:
        self._pdf = Sandbox([PAGE, TEXT], limits, children, 1)
        self._programs = programs
        readable = office.needed(programs) if programs else ()
        self._office = Sandbox([CONVERT], limits, children, 1, readable=readable)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._pdf)
        await self._stack.enter_async_context(self._office)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def render(
        self, path: Path, content_type: str, steps: Sequence[Step], told: Callable[[float], None]
    ) -> AsyncIterator[Sequence[Output]]:
        """What a pipeline makes of a document, up to where pictures begin. The files are there for
        as long as the context lasts.

        Raises InvalidArgument (MEDIA_CORRUPT), FailedPrecondition (OPERATION_NOT_APPLICABLE,
        DOCUMENT_ENCRYPTED, MISSING_TOOL), InvalidArgument (PROCESSING_LIMIT_EXCEEDED), DataLoss
        (BLOB_MISSING), Unavailable (STORAGE_UNAVAILABLE, PROCESSING_UNAVAILABLE).
        """
        [(name, message)] = steps  # each of them ends what is done to a document
        with temporary_file(SCRATCH) as pdf, temporary_file(SCRATCH) as result:
            if content_type != PDF:
                await self._convert(path, content_type, pdf)
                path = Path(pdf.name)
            if name == "page":
                yield [await self._page(path, result, message)]
            else:
                yield [await self._text(path, result, message, told)]

    async def _convert(self, path: Path, content_type: str, pdf: IO[bytes]) -> None:
        suffix = office.SUFFIXES.get(content_type)
        if not suffix:
            message = f"Documents of type {content_type} cannot be read."
            raise FailedPrecondition(Reason.OPERATION_NOT_APPLICABLE, message)
        if not self._programs:
            message = (
                "Office documents are read by LibreOffice, which the worker's machine does not "
                "have: install libreoffice-writer, libreoffice-calc and libreoffice-impress."
            )
            raise Unimplemented(Reason.MISSING_TOOL, message)
        await self._office.run(
            CONVERT, path, outputs=[pdf.fileno()], programs=str(self._programs), suffix=suffix
        )

    async def _page(self, path: Path, result: IO[bytes], message: Any) -> Output:
        answer = await self._pdf.run(
            PAGE, path, outputs=[result.fileno()], number=message.number, size=message.size
        )
        return Output(Path(result.name), "image/png", *checked(answer, message.size))

    async def _text(
        self, path: Path, result: IO[bytes], message: Any, told: Callable[[float], None]
    ) -> Output:
        await self._pdf.run(
            TEXT,
            path,
            outputs=[result.fileno()],
            progress=lambda percent: told(percent / 100),
            page=message.page if message.HasField("page") else None,
        )
        return Output(Path(result.name), "text/plain; charset=utf-8")


def checked(answer: Any, size: int) -> tuple[int, int]:
    """The child that answered may have been taken over by the file it read. Raises InvalidArgument
    (MEDIA_CORRUPT)."""
    match answer:
        case [int(width), int(height)] if min(width, height) > 0 and max(width, height) == size:
            return width, height
    raise corrupt("It cannot be read.")
