"""Small blocking calls of many streams share trips to a thread."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from media_service.storage.drivers.local.shared_trips import SharedTrips


class CountingThreads(ThreadPoolExecutor):
    trips = 0

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.trips += 1
        return super().submit(call, *args, **kwargs)


async def test_a_thousand_calls_share_few_trips_and_keep_their_results() -> None:
    with CountingThreads(4) as threads:
        trips = SharedTrips(threads, 4)
        calls = [trips.run(lambda n=n: n) for n in range(1000)]  # type: ignore[misc]
        assert await asyncio.gather(*calls) == list(range(1000))
        assert threads.trips <= 1000 / 64 + 4


async def test_a_single_call_has_a_trip_of_its_own() -> None:
    with CountingThreads(4) as threads:
        trips = SharedTrips(threads, 4)
        for _ in range(3):
            assert await trips.run(os.getpid) == os.getpid()
        assert threads.trips == 3


async def test_a_failed_call_does_not_fail_the_others() -> None:
    def fail() -> None:
        raise OSError("this one")

    with CountingThreads(1) as threads:
        trips = SharedTrips(threads, 1)
        results = await asyncio.gather(
            *(trips.run(fail if n == 2 else os.getpid) for n in range(5)), return_exceptions=True
        )
        assert threads.trips == 1
    assert [isinstance(result, OSError) for result in results] == [n == 2 for n in range(5)]


async def test_a_cancelled_call_leaves_the_others() -> None:
    with CountingThreads(1) as threads:
        trips = SharedTrips(threads, 1)
        first, second = (asyncio.create_task(trips.run(os.getpid)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == os.getpid()
        with pytest.raises(asyncio.CancelledError):
            await first
