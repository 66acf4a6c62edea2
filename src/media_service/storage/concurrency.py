"""Runs calls concurrently, up to a limit."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")


async def for_each(call: Callable[[A], Awaitable[T]], items: Sequence[A], limit: int) -> list[T]:
    """Calls `call` for every item, at most `limit` at a time. Returns the results in order.

    If a call fails, its error is raised after the calls of the same batch have ended.
    """
    results: list[T] = []
    for start in range(0, len(items), limit):
        batch = [call(item) for item in items[start : start + limit]]
        for result in await asyncio.gather(*batch, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
            results.append(result)
    return results
