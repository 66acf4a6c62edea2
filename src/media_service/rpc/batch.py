"""Errors in atomic batches."""

from collections.abc import Iterator
from contextlib import contextmanager

from media_service.errors import InvalidArgument, MediaError


@contextmanager
def request_at(index: int) -> Iterator[None]:
    """Adds the index of a request in an atomic batch to its errors."""
    try:
        yield
    except MediaError as error:
        path = f"requests[{index}]"
        error.message = f"{path}: {error.message}"
        if isinstance(error, InvalidArgument):
            error.fields = tuple((f"{path}.{field}", what) for field, what in error.fields)
        raise
