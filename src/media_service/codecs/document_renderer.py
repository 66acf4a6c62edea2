"""Renders documents in sandboxed child processes. This process never opens a document."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import IO, Self

from media_service.codecs.discovery import discover
from media_service.codecs.document import office, operations
from media_service.codecs.document.task import DocumentTask
from media_service.codecs.limits import OFFICE_LIMITS, PAGE_LIMITS
from media_service.codecs.output import Output
from media_service.codecs.pipeline.pipeline import Step
from media_service.codecs.progress import ReportProgress
from media_service.codecs.sandbox.forks import ForkServer
from media_service.codecs.sandbox.limits import ResourceLimits
from media_service.codecs.sandbox.pool import Sandbox
from media_service.errors import FailedPrecondition, Reason, Unimplemented
from media_service.temporary_files import temporary_file

PDF = "application/pdf"
OPERATIONS = discover(operations)
CONVERT = "media_service.codecs.document.office:convert"

SCRATCH = "media-render-"


class DocumentRenderer:
    """Renders documents, each in a new child process, up to `children` concurrently.

    `programs` is the folder of LibreOffice's programs, or None if it is not installed. This is an
    async context manager: leaving it ends the children.
    """

    def __init__(
        self,
        fork_server: ForkServer,
        children: int,
        programs: Path | None,
        *,
        limits: ResourceLimits = PAGE_LIMITS,
    ) -> None:
        tasks = [module.TASK for module in OPERATIONS.values()]
        self._limits = limits
        self._pdf = Sandbox(fork_server, tasks, limits, children, 1)
        self._programs = programs
        readable = office.readable_folders(programs) if programs else ()
        self._office = Sandbox(
            fork_server, [CONVERT], OFFICE_LIMITS, children, 1, readable=readable
        )
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._pdf)
        await self._stack.enter_async_context(self._office)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def render(
        self,
        path: Path,
        content_type: str,
        steps: Sequence[Step],
        report: ReportProgress,
        *,
        pages: int = 0,
    ) -> AsyncIterator[Sequence[Output]]:
        """Runs the document step of a pipeline. Yields its output file, which exists until the
        context ends. `pages` is the number of pages, or 0 if it is unknown.

        Raises InvalidArgument (MEDIA_CORRUPT, PROCESSING_LIMIT_EXCEEDED), FailedPrecondition
        (OPERATION_NOT_APPLICABLE, DOCUMENT_ENCRYPTED, MISSING_TOOL), DataLoss (BLOB_MISSING),
        Unavailable (STORAGE_UNAVAILABLE, PROCESSING_UNAVAILABLE).
        """
        [(operation, message)] = steps  # every document operation ends the document steps
        with temporary_file(SCRATCH) as pdf, temporary_file(SCRATCH) as result:
            if content_type != PDF:
                await self._convert(path, content_type, pdf)
                path = Path(pdf.name)
            module = OPERATIONS[operation]
            run = partial(self._pdf.run, module.TASK, path, outputs=[result.fileno()])
            task = DocumentTask(run, Path(result.name), message, report, self._limits, pages)
            yield [await module.render(task)]

    async def _convert(self, path: Path, content_type: str, pdf: IO[bytes]) -> None:
        suffix = office.SUFFIXES.get(content_type)
        if not suffix:
            message = f"Documents of type {content_type} cannot be rendered."
            raise FailedPrecondition(Reason.OPERATION_NOT_APPLICABLE, message)
        if not self._programs:
            message = (
                "Rendering office documents requires LibreOffice, which is not installed on the"
                " worker. Install libreoffice-writer, libreoffice-calc and libreoffice-impress."
            )
            raise Unimplemented(Reason.MISSING_TOOL, message)
        await self._office.run(
            CONVERT, path, outputs=[pdf.fileno()], programs=str(self._programs), suffix=suffix
        )
