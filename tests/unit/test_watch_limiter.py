"""Watches end: after their longest duration, and when the server stops."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest

from media_service.access.principal import Principal
from media_service.errors import Reason, Unavailable
from media_service.rpc.caller import current_principal
from media_service.rpc.watch_limiter import WatchLimiter

PATIENCE_SECONDS = 20


async def states(ending: asyncio.Event, end: asyncio.Event) -> AsyncGenerator[int, None]:
    """States of something that never changes. They take time to end."""
    try:
        yield 0
        await asyncio.Event().wait()
    finally:
        ending.set()
        await end.wait()


async def ignore(state: int) -> None:
    """Sends nothing."""


async def test_a_server_that_stops_ends_watches_beside_one_that_is_ending() -> None:
    current_principal.set(Principal("ann"))
    limiter = WatchLimiter(10, timedelta(seconds=0.1))
    ending, end, lasting = asyncio.Event(), asyncio.Event(), asyncio.Event()
    lasting.set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        first = asyncio.create_task(limiter.run(states(ending, end), ignore))
        await ending.wait()
        later = asyncio.create_task(limiter.run(states(asyncio.Event(), lasting), ignore))
        await asyncio.sleep(0)
        limiter.stop()
        with pytest.raises(Unavailable) as caught:
            await later
        assert caught.value.reason is Reason.SHUTTING_DOWN
        end.set()
        await asyncio.wait([first])
