"""What libvips complains of, in the words of the service."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import pyvips

from media_service.errors import InvalidArgument, Reason

P = ParamSpec("P")
R = TypeVar("R")


def told(task: Callable[P, R]) -> Callable[P, R]:
    """A task whose failures are told: InvalidArgument (MEDIA_CORRUPT), or MemoryError."""

    @wraps(task)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return task(*args, **kwargs)
        except pyvips.Error as error:
            if "out of memory" in str(error):
                raise MemoryError from None
            raise InvalidArgument(
                Reason.MEDIA_CORRUPT, f"The picture cannot be decoded: {error.detail.strip()}"
            ) from None

    return run
