"""Blobs from one store into another, by the stores themselves where they can."""

import asyncio

import pytest

from media_service.errors import DataLoss, Reason
from media_service.storage import blob_store as blobs
from media_service.storage.blob_store import BlobStore
from media_service.storage.driver import Driver
from media_service.storage.drivers.local.driver import LocalDriver
from media_service.storage.drivers.memory import MemoryDriver
from media_service.storage.drivers.s3.driver import S3Driver
from tests.support.stores.blobs import content, keys, put, store, whole

DATA = bytes(n % 251 for n in range(100_000))


@pytest.fixture
def stranger(driver: Driver, memory: MemoryDriver, local: LocalDriver) -> Driver:
    """A store of another kind."""
    return local if isinstance(driver, MemoryDriver) else memory


# By the stores themselves


@pytest.mark.parametrize("size", [0, 1, 100_000])
async def test_a_store_copies_by_itself(
    driver: Driver, sibling: Driver, key: str, size: int
) -> None:
    await driver.put(key, DATA[:size])
    assert await sibling.copy(driver, key, "blobs/00/copy", size, "image/png")
    await driver.delete(key)
    assert await content(sibling, "blobs/00/copy") == DATA[:size]
    assert await keys(sibling, "") == {"blobs/00/copy"}
    assert [blob async for blob in sibling.list_open()] == []


async def test_a_copy_may_be_made_again_and_by_many(
    driver: Driver, sibling: Driver, key: str
) -> None:
    await store(driver, key, DATA)
    await asyncio.gather(*(sibling.copy(driver, key, key, len(DATA), "") for _ in range(8)))
    assert await sibling.copy(driver, key, key, len(DATA), "")
    assert await content(sibling, key) == DATA
    assert [blob async for blob in sibling.list_open()] == []


@pytest.mark.parametrize("size", [99_999, 100_001, 0])
async def test_what_is_not_there_is_not_copied(
    driver: Driver, sibling: Driver, key: str, size: int
) -> None:
    if size:
        await store(driver, key, DATA)
    with pytest.raises(DataLoss) as caught:
        await sibling.copy(driver, key, key, size, "")
    assert caught.value.reason is Reason.BLOB_MISSING
    assert await keys(sibling, "") == set()
    assert [blob async for blob in sibling.list_open()] == []


async def test_a_store_of_another_kind_is_not_copied_from(
    driver: Driver, stranger: Driver, key: str
) -> None:
    await store(stranger, key, DATA)
    assert not await driver.copy(stranger, key, key, len(DATA), "")
    assert await keys(driver, "") == set()


# Through this service where they cannot


def several_parts(driver: Driver) -> bytes:
    """More than one part, where a stream is more than one."""
    size = 2 * (driver.limits.target_part_size or 1000) + 5
    return (DATA * (size // len(DATA) + 1))[:size]


async def test_a_blob_comes_from_any_store(driver: Driver, stranger: Driver, key: str) -> None:
    for size in (0, 1, 5000):
        await stranger.put(f"{key}-{size}", DATA[:size])
        await BlobStore("public", driver).copy_from(
            BlobStore("raw", stranger), f"{key}-{size}", f"{key}-{size}", size, "image/png"
        )
        assert await content(driver, f"{key}-{size}") == DATA[:size]


async def test_a_large_blob_comes_in_parts(
    driver: Driver, stranger: Driver, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "SMALL", 20)
    data = several_parts(driver)
    await stranger.put(key, data)
    source, target = BlobStore("raw", stranger), BlobStore("public", driver)
    await put(driver, key, await driver.begin(key), b"left by one that died")
    for _ in range(2):
        await target.copy_from(source, key, key, len(data), "image/png")
        assert await content(driver, key) == data
    await stranger.delete(key)
    await target.copy_from(source, key, key, len(data), "image/png")  # it is there


async def test_a_blob_goes_to_any_store(driver: Driver, stranger: Driver, key: str) -> None:
    data = whole(driver, b"first") + b"second"
    await store(driver, key, whole(driver, b"first"), b"second")
    await BlobStore("public", stranger).copy_from(
        BlobStore("raw", driver), key, key, len(data), "image/png"
    )
    assert await content(stranger, key) == data


async def test_a_copy_of_what_is_too_short_leaves_nothing(
    driver: Driver, stranger: Driver, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "SMALL", 20)
    data = several_parts(driver)
    await stranger.put(key, data[:-1])
    with pytest.raises(DataLoss):
        await BlobStore("public", driver).copy_from(
            BlobStore("raw", stranger), key, key, len(data), "image/png"
        )
    assert await keys(driver, "") == set()
    assert [blob async for blob in driver.list_open()] == []


async def test_the_store_of_a_copy_knows_its_type(
    s3: S3Driver, memory: MemoryDriver, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "SMALL", 20)
    for size in (10, 30):
        await memory.put(f"{key}-{size}", DATA[:size])
        await BlobStore("public", s3).copy_from(
            BlobStore("raw", memory), f"{key}-{size}", f"{key}-{size}", size, "image/png"
        )
        head = await (await s3._client()).head_object(**s3.name(f"{key}-{size}"))
        assert head["ContentType"] == "image/png"
