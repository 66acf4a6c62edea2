"""Pages of many or large messages."""

import asyncio
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from media_service.rpc.pagination import PAGE_BYTES, each, page, page_size


def text(size: int) -> StringValue:
    return StringValue(value="x" * size)


async def test_other_tasks_run_while_a_page_is_built() -> None:
    made: list[str] = []

    async def other() -> None:
        while True:
            made.append("other")
            await asyncio.sleep(0)

    def convert(n: int) -> int:
        made.append("part")
        return n

    def to_message(_: int) -> Any:
        made.append("message")
        return text(1)

    task = asyncio.create_task(other())
    assert await each(range(5), convert) == list(range(5))
    await page(range(5), 5, to_message, str)
    task.cancel()
    for one in ("part", "message"):
        first, last = made.index(one), len(made) - made[::-1].index(one)
        assert made[first:last].count("other") >= 4


async def test_a_page_has_the_requested_size() -> None:
    messages, token = await page([1, 2, 3], 2, text, lambda n: f"after {n}")
    assert (len(messages), token) == (2, "after 2")
    assert (await page([1, 2], 2, text, str))[1] == ""
    assert await page([], 2, text, str) == ([], "")


async def test_a_page_of_large_messages_ends_early() -> None:
    half = PAGE_BYTES // 2 - 100
    messages, token = await page([half, half, half, 1], 3, text, lambda n: f"after {n}")
    assert (len(messages), token) == (2, f"after {half}")


async def test_a_page_has_at_least_one_message() -> None:
    messages, token = await page([2 * PAGE_BYTES, 1], 2, text, lambda n: f"after {n}")
    assert (len(messages), token) == (1, f"after {2 * PAGE_BYTES}")


@pytest.mark.parametrize(("requested", "size"), [(0, 50), (1, 1), (1000, 1000), (1001, 1000)])
def test_a_page_size_is_coerced_to_the_maximum(requested: int, size: int) -> None:
    assert page_size(requested) == size
