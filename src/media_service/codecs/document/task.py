"""What a document operation gets."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from media_service.codecs.progress import ReportProgress


@dataclass(frozen=True, slots=True)
class DocumentTask:
    """`run`: calls the operation's function in a child process, which has the PDF and the result
    file open, with the given parameters; returns its answer. `message`: the operation's
    parameters, with all defaults."""

    run: Callable[..., Awaitable[Any]]
    result: Path
    message: Any
    report: ReportProgress
