"""Every store of rates keeps the same promises."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from media_service.errors import Reason, Unavailable
from media_service.ids import new_id
from media_service.rates.drivers.memory import MemoryRates
from media_service.rates.drivers.valkey import ValkeyRates
from media_service.rates.model import Rate, Standing
from media_service.rates.store import RateStore
from tests.support.ports import free_port
from tests.support.stores.valkey_server import ValkeyServer

# So slow that no unit comes back during a test.
RATE = Rate(4, 3600)


@pytest.fixture(params=["memory", "valkey"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[RateStore]:
    opened: RateStore = request.getfixturevalue(f"{request.param}_rates")
    yield opened
    await opened.close()


@pytest.fixture
def memory_rates() -> RateStore:
    return MemoryRates()


@pytest.fixture
def valkey_rates(valkey: ValkeyServer) -> RateStore:
    return ValkeyRates(valkey.url)


@pytest.fixture
def name() -> str:
    """A limit that only this test uses."""
    return f"test {new_id()}"


async def take_all(store: RateStore, name: str, key: str, costs: list[int]) -> list[Standing]:
    return [await store.take(name, key, RATE, cost) for cost in costs]


async def test_the_quota_may_be_used_at_once(store: RateStore, name: str) -> None:
    found = await take_all(store, name, "ann", [1, 1, 1, 1, 1])
    assert [one.admitted for one in found] == [True] * 4 + [False]
    assert [one.remaining for one in found] == [3, 2, 1, 0, 0]
    assert [round(one.reset_seconds, -1) for one in found] == [900, 1800, 2700, 3600, 3600]
    assert [round(one.retry_seconds, -1) for one in found] == [0, 0, 0, 0, 900]


async def test_a_refused_call_takes_nothing(store: RateStore, name: str) -> None:
    found = await take_all(store, name, "ann", [3, 2, 2, 1])
    assert [one.admitted for one in found] == [True, False, False, True]
    assert found[1].remaining == 1
    assert round(found[1].retry_seconds, -1) == 900


async def test_keys_and_limits_are_independent(store: RateStore, name: str) -> None:
    for key in ("ann", "bob", "a:b", "é" * 50, ""):
        assert (await store.take(name, key, RATE, 4)).admitted
        assert not (await store.take(name, key, RATE, 1)).admitted
        assert (await store.take(f"{name} 2", key, RATE, 4)).admitted


async def test_units_come_back_evenly(store: RateStore, name: str) -> None:
    rate = Rate(10, 1)
    assert (await store.take(name, "ann", rate, 10)).admitted
    refused = await store.take(name, "ann", rate, 2)
    assert not refused.admitted
    await asyncio.sleep(refused.retry_seconds)
    assert (await store.take(name, "ann", rate, 2)).admitted
    assert not (await store.take(name, "ann", rate, 8)).admitted


async def test_unused_units_are_not_saved_beyond_the_quota(store: RateStore, name: str) -> None:
    rate = Rate(10, 1)
    assert (await store.take(name, "ann", rate, 1)).admitted
    await asyncio.sleep(0.5)
    assert not (await store.take(name, "ann", rate, 11)).admitted


async def test_concurrent_calls_never_get_more_than_the_quota(store: RateStore, name: str) -> None:
    rate = Rate(25, 3600)
    found = await asyncio.gather(*(store.take(name, "ann", rate, 1) for _ in range(100)))
    assert sum(one.admitted for one in found) == 25


async def test_memory_keeps_the_keys_that_were_used_last(name: str) -> None:
    store = MemoryRates(max_keys=2)
    await store.take(name, "ann", RATE, 4)
    for other in range(100):
        await store.take(name, "bob", RATE, 1 if other < 4 else 0)
        await store.take(f"{name} 2", str(other), RATE, 1)  # of another limit
    assert not (await store.take(name, "ann", RATE, 1)).admitted
    for other in range(2):
        await store.take(name, str(other), RATE, 1)
    assert (await store.take(name, "ann", RATE, 4)).admitted


async def test_a_store_that_works_says_so(store: RateStore) -> None:
    await store.check()


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
async def test_processes_share_what_is_in_valkey(
    valkey: ValkeyServer, name: str, scheme: str
) -> None:
    url = valkey.url.replace("redis", scheme)
    stores = [ValkeyRates(url) for _ in range(2)]
    answers = [await store.take(name, "ann", RATE, 2) for store in (*stores, *stores)]
    assert [one.admitted for one in answers] == [True, True, False, False]
    for store in stores:
        await store.close()


async def test_a_server_that_does_not_exist_is_unavailable(name: str) -> None:
    store = ValkeyRates(f"redis://127.0.0.1:{free_port()}/0")
    for refused in (store.check(), store.take(name, "ann", RATE, 1)):
        with pytest.raises(Unavailable) as caught:
            await refused
        assert caught.value.reason is Reason.RATE_STORE_UNAVAILABLE
    await store.close()
