"""Periodic tasks are independent of each other."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest

from media_service.errors import Reason, Unavailable
from media_service.jobs.periodic import PeriodicTask, run_periodically

SOON = timedelta(milliseconds=1)


@pytest.mark.parametrize(
    "error", [KeyError("a bug"), Unavailable(Reason.DATABASE_UNAVAILABLE, "It is away.")]
)
async def test_a_failing_task_is_retried_and_does_not_stop_others(error: Exception) -> None:
    failures, runs = 0, 0
    enough = asyncio.Event()

    async def fails() -> int:
        nonlocal failures
        failures += 1
        raise error

    async def works(amount: int) -> int:
        nonlocal runs
        runs += 1
        if runs > 3 and failures > 3:
            enough.set()
        return amount

    tasks = [PeriodicTask("failing", SOON, fails), PeriodicTask("working", SOON, works)]
    running = asyncio.create_task(run_periodically(tasks, SimpleNamespace(amount=1)))
    async with asyncio.timeout(20):
        await enough.wait()
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
