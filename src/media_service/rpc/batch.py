"""Requests that hold many: one result each, or all or none."""

from collections.abc import Iterator
from contextlib import contextmanager

from google.rpc import status_pb2

from media_service.errors import InvalidArgument, MediaError
from media_service.rpc.status import known, to_status


@contextmanager
def part(index: int) -> Iterator[None]:
    """Errors name the request of an atomic batch in which they happened."""
    try:
        yield
    except MediaError as error:
        place = f"requests[{index}]"
        error.message = f"{place}: {error.message}"
        if isinstance(error, InvalidArgument):
            error.fields = tuple((f"{place}.{field}", what) for field, what in error.fields)
        raise


def status_of(error: Exception) -> status_pb2.Status:
    """The result of a request that failed."""
    return to_status(known(error))
