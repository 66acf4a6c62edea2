"""Things done at the same time."""

import asyncio
from collections.abc import Awaitable


async def run_together(*works: Awaitable[None]) -> None:
    """All of them; if one fails, the others end, and then that is raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        # Not by `gather`, which is cancelled with them: they would be cancelled once more below,
        # while they put back what they had.
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
