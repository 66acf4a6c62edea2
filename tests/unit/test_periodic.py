"""Periodic tasks are independent of each other, and run until nothing is due."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest

from media_service.errors import Reason, Unavailable
from media_service.jobs.periodic import Batches, PeriodicTask, run_batches, run_periodically

SOON = timedelta(milliseconds=1)


@pytest.mark.parametrize(
    "error", [KeyError("a bug"), Unavailable(Reason.DATABASE_UNAVAILABLE, "It is away.")]
)
async def test_a_failing_task_is_retried_and_does_not_stop_others(error: Exception) -> None:
    failures, runs = 0, 0
    enough = asyncio.Event()

    async def fails() -> Batches:
        nonlocal failures
        failures += 1
        yield 1
        raise error

    async def works(amount: int) -> Batches:
        nonlocal runs
        runs += 1
        if runs > 3 and failures > 3:
            enough.set()
        yield amount

    tasks = [PeriodicTask("failing", SOON, fails), PeriodicTask("working", SOON, works)]
    running = asyncio.create_task(run_periodically(tasks, SimpleNamespace(amount=1)))
    async with asyncio.timeout(20):
        await enough.wait()
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_run_continues_until_nothing_is_due() -> None:
    async def task() -> Batches:
        for _ in range(1000):
            yield 100

    assert await run_batches(PeriodicTask("many", SOON, task), None) == 100_000


async def test_a_long_run_lets_others_work_and_can_be_cancelled() -> None:
    batches, ended = 0, False

    async def endless() -> Batches:
        nonlocal batches, ended
        try:
            while True:
                batches += 1
                yield 1
        finally:
            ended = True

    running = asyncio.create_task(run_batches(PeriodicTask("endless", SOON, endless), None))
    for _ in range(20):
        before = batches
        await asyncio.sleep(0)
        assert batches <= before + 1, "no two batches without a pause"
    async with asyncio.timeout(20):
        while batches < 5:
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert ended


async def test_a_task_without_an_interval_runs_once() -> None:
    runs = 0

    async def once() -> Batches:
        nonlocal runs
        runs += 1
        yield 1

    async with asyncio.timeout(20):
        await run_periodically([PeriodicTask("once", None, once)], None)
    assert runs == 1
