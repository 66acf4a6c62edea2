"""What libvips complains of, in the words of the service."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeAlias

import pyvips

from media_service.codecs.image.load import decode
from media_service.codecs.image.out_of_memory import is_short
from media_service.codecs.sandbox.errors import SandboxBroken
from media_service.errors import InvalidArgument, MediaError, Reason

Task: TypeAlias = Callable[..., Any]


@contextmanager
def reading() -> Iterator[None]:
    """While a picture is read, and nothing else is done: what fails is the picture's fault.

    Raises InvalidArgument (MEDIA_CORRUPT), MemoryError.
    """
    try:
        yield
    except pyvips.Error as error:
        if is_short(str(error)):
            raise MemoryError from None
        raise InvalidArgument(
            Reason.MEDIA_CORRUPT, f"The picture cannot be decoded: {error.detail.strip()}"
        ) from None


def told(task: Task) -> Task:
    """A task that makes something of pictures: its first files, of `content_type` and of
    `overlays`. What fails is their fault if they cannot be decoded by themselves: a graph of
    libvips does not tell which part of it failed.

    Raises InvalidArgument (MEDIA_CORRUPT), MemoryError, SandboxBroken.
    """

    @wraps(task)
    def run(*files: int, **parameters: Any) -> Any:
        try:
            return task(*files, **parameters)
        except (MediaError, MemoryError, OSError):
            raise
        except pyvips.Error as error:
            with reading():
                if is_short(str(error)):
                    raise
                laid = [kind for _, kind in parameters.get("overlays", ())]
                for file, kind in zip(files, [parameters["content_type"], *laid], strict=False):
                    decode(file, kind)
            raise SandboxBroken(f"A pipeline failed: {error.detail.strip()}") from error
        except Exception as error:
            raise SandboxBroken(f"A pipeline failed: {error!r}") from error

    return run
