"""Translates errors of libvips."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeAlias

import pyvips

from media_service.codecs.image.load import decode
from media_service.codecs.sandbox.errors import SandboxBroken
from media_service.codecs.sandbox.exit_cause import corrupt
from media_service.codecs.sandbox.out_of_memory import is_out_of_memory
from media_service.errors import InvalidArgument, MediaError, Reason

Task: TypeAlias = Callable[..., Any]


# How librsvg and libxml2 say that an SVG reaches one of their limits.
LIMITS = {
    "referenced elements": re.compile(r"exceeded more than (\d+) referenced elements"),
    "nested layers": re.compile(r"maximum depth of (\d+) nested layers"),
    "nested elements": re.compile(r"Excessive depth in document: (\d+)"),
}


@contextmanager
def decoding(exceeded: Reason) -> Iterator[None]:
    """A context for code that only decodes an image. Any error means that the image is corrupt, or
    that it reaches a limit of a library, which raises `exceeded`.
    Raises InvalidArgument (MEDIA_CORRUPT, `exceeded`), MemoryError.
    """
    try:
        yield
    except pyvips.Error as error:
        if is_out_of_memory(str(error)):
            raise MemoryError from None
        for limit, pattern in LIMITS.items():
            if found := pattern.search(str(error)):
                raise InvalidArgument(
                    exceeded,
                    f"The image reaches the limit of {found[1]} {limit}.",
                    limit=limit.replace(" ", "_"),
                    value=found[1],
                ) from error
        raise corrupt("The image cannot be decoded: it is damaged.") from error


def translate_errors(task: Task) -> Task:
    """Decorates a task whose first files are images: the original, of `content_type`, and the
    `overlays`. libvips does not report which part of a graph failed. After an error, each image is
    therefore decoded separately. If that fails, the image is corrupt or exceeds a limit.
    Raises InvalidArgument (MEDIA_CORRUPT, PROCESSING_LIMIT_EXCEEDED), MemoryError, SandboxBroken.
    """

    @wraps(task)
    def run(*files: int, **parameters: Any) -> Any:
        try:
            return task(*files, **parameters)
        except (MediaError, MemoryError, OSError):
            raise
        except pyvips.Error as error:
            with decoding(Reason.PROCESSING_LIMIT_EXCEEDED):
                if is_out_of_memory(str(error)):
                    raise
                overlays = [kind for _, kind in parameters.get("overlays", ())]
                kinds = [parameters["content_type"], *overlays]
                for file, kind in zip(files, kinds, strict=False):
                    decode(file, kind)
            raise SandboxBroken(f"a pipeline failed: {error.detail.strip()}") from error
        except Exception as error:
            raise SandboxBroken(f"a pipeline failed: {error!r}") from error

    return run
