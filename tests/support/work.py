"""Counts the work of a call, which unlike its time does not depend on the machine."""

import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import FrameType
from typing import Any

from media_service.errors import MediaError


def calls(function: Callable[[], Any]) -> int:
    """How many functions a call of `function` calls, Python's and C's. A refusal counts too."""
    counted = 0

    def count(_: FrameType, event: str, __: Any) -> None:
        nonlocal counted
        counted += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        function()
    except MediaError:
        pass
    finally:
        sys.setprofile(None)
    return counted


def calls_of(coroutine: Callable[[], Coroutine[Any, None, Any]]) -> int:
    """As `calls`, of a coroutine that waits for nothing."""

    def run() -> None:
        with suppress(StopIteration):
            coroutine().send(None)

    return calls(run)
