"""Requests and answers of many parts: read and made without holding up other calls, and no larger
than they can be."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from google.protobuf.message import Message

T = TypeVar("T")
R = TypeVar("R")
M = TypeVar("M", bound=Message)

# Of a page. One message more, at its largest, still fits into what gRPC sends.
PAGE_BYTES = 1 << 20


def page_size(requested: int, default: int = 50, maximum: int = 1000) -> int:
    """How many a page has: 0 asks for the default, too many for the maximum (AIP-158)."""
    return min(requested or default, maximum)


async def each(items: Iterable[T], convert: Callable[[T], R]) -> list[R]:
    """All of them; others have their turns in between."""
    made = []
    for item in items:
        made.append(convert(item))
        await asyncio.sleep(0)
    return made


async def page(
    found: Sequence[T], size: int, convert: Callable[[T], M], token: Callable[[T], str]
) -> tuple[list[M], str]:
    """The first `size` of what was found, or fewer if they are large, and the token of the next
    page, empty on the last. `token`: of the page that goes on behind an item."""
    made: list[M] = []
    room = PAGE_BYTES
    for item in found[:size]:
        message = convert(item)
        room -= message.ByteSize()
        if made and room < 0:
            break
        made.append(message)
        await asyncio.sleep(0)
    return made, token(found[len(made) - 1]) if len(made) < len(found) else ""
