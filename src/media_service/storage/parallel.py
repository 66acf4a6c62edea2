"""Several requests at once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")


async def for_each(work: Callable[[A], Awaitable[T]], items: Sequence[A], at_once: int) -> list[T]:
    """Does the work for all items, some at a time. Nothing goes on behind an error's back."""
    results: list[T] = []
    for start in range(0, len(items), at_once):
        batch = [work(item) for item in items[start : start + at_once]]
        for result in await asyncio.gather(*batch, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
            results.append(result)
    return results
