"""Converts lists to messages in pages of bounded size, without blocking other calls."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from google.protobuf.message import Message

T = TypeVar("T")
R = TypeVar("R")
M = TypeVar("M", bound=Message)

# The size of a page in bytes. With one more message of the maximum size, gRPC still sends it.
PAGE_BYTES = 1 << 20


def page_size(requested: int, default: int = 50, maximum: int = 1000) -> int:
    """The size of a page: 0 selects the default, and the maximum limits it (AIP-158)."""
    return min(requested or default, maximum)


async def each(items: Iterable[T], convert: Callable[[T], R]) -> list[R]:
    """Converts all items, and lets other tasks run in between."""
    made = []
    for item in items:
        made.append(convert(item))
        await asyncio.sleep(0)
    return made


async def page(
    found: Sequence[T], size: int, convert: Callable[[T], M], token: Callable[[T], str]
) -> tuple[list[M], str]:
    """The first `size` items, or fewer if they are large, and the token of the next page, which is
    empty on the last page. `token`: creates the token of the page that starts after an item."""
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
