"""The turns of renders: none is lost, whoever leaves and whenever."""

import asyncio

from media_service.access.owner import Owner
from media_service.renders.fair_queue import FairQueue

OWNERS = [Owner("user", name) for name in ("ann", "bob", "cat")]
PATIENCE_SECONDS = 20


async def test_a_caller_that_leaves_when_its_turn_comes_costs_others_nothing() -> None:
    queue, go_on = FairQueue(concurrency=1, capacity=10), asyncio.Event()

    async def render(owner: Owner) -> None:
        async with queue.turn(owner):
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
