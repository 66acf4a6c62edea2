"""The turns of renders: none is lost when callers leave."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from media_service.access.fair_turns import FairTurns
from media_service.access.owner import Owner
from media_service.renders.slots import Slots

OWNERS = [Owner("user", name) for name in ("ann", "bob", "cat")]
PATIENCE_SECONDS = 20
Wait = Callable[[Owner], AbstractAsyncContextManager[None]]


def one_at_a_time() -> Wait:
    return FairTurns(1).turn


@pytest.mark.parametrize("wait", [one_at_a_time, lambda: Slots(1).slot])
async def test_a_caller_that_leaves_when_its_turn_comes_costs_others_nothing(
    wait: Callable[[], Wait],
) -> None:
    turn, go_on = wait(), asyncio.Event()

    async def render(owner: Owner) -> None:
        async with turn(owner):
            await go_on.wait()

    first, leaving, last = (asyncio.create_task(render(owner)) for owner in OWNERS)
    await asyncio.sleep(0)
    go_on.set()
    leaving.cancel()
    async with asyncio.timeout(PATIENCE_SECONDS):
        results = await asyncio.gather(first, leaving, last, return_exceptions=True)
        assert [type(result) for result in results] == [
            type(None),
            asyncio.CancelledError,
            type(None),
        ]
        await render(OWNERS[1])  # the turn is free again
