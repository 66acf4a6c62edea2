"""Runs awaitables concurrently."""

import asyncio
from collections.abc import Awaitable


async def run_together(*works: Awaitable[None]) -> None:
    """Waits for all awaitables. If one fails, cancels the others and raises its error."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        # Not `gather`: its cancellation would cancel the tasks, and the loop below would cancel
        # them again while they clean up.
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
