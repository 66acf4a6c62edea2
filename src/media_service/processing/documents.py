"""Makes pictures and text of documents, in limited children."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from media_service.processing.made import Made
from media_service.processing.pipeline.way import Step


class Documents:
    @asynccontextmanager
    async def make(
        self, path: Path, content_type: str, steps: Sequence[Step], told: Callable[[float], None]
    ) -> AsyncIterator[Sequence[Made]]:
        """What a pipeline makes of a document, up to where pictures begin. The files are there for
        as long as the context lasts.

        Raises InvalidArgument (MEDIA_CORRUPT), FailedPrecondition (OPERATION_NOT_APPLICABLE),
        TooLarge (PROCESSING_LIMIT_EXCEEDED), DataLoss (BLOB_MISSING), Unavailable
        (STORAGE_UNAVAILABLE, PROCESSING_UNAVAILABLE).
        """
        yield []
