"""The input of a document operation."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from media_service.codecs.progress import ReportProgress
from media_service.codecs.sandbox.limits import ResourceLimits


@dataclass(frozen=True, slots=True)
class DocumentTask:
    """The input of an operation. `run` calls the operation's function in a child process with the
    given parameters, and returns its answer. The child has the PDF and the result file open.
    `message` has the operation's parameters with all defaults. `limits` are those of a task on one
    page. `pages` is the number of pages, or 0 if it is unknown."""

    run: Callable[..., Awaitable[Any]]
    result: Path
    message: Any
    report: ReportProgress
    limits: ResourceLimits
    pages: int
