"""Our drivers copy within their backend, and S3 stores the content type of a copy."""

import pytest

from media_service.errors import DataLoss, Reason
from media_service.storage import blob_store as blobs
from media_service.storage.blob_store import BlobStore
from media_service.storage.conformance.blobs import content, keys, store
from media_service.storage.conformance.fixtures import DriverFixtures
from media_service.storage.driver import Driver
from media_service.storage.drivers.memory import MemoryDriver
from media_service.storage.drivers.s3.driver import S3Driver

DATA = bytes(n % 251 for n in range(100_000))


class TestOurDrivers(DriverFixtures):
    @pytest.mark.parametrize("size", [0, 1, 100_000])
    async def test_a_blob_is_copied_within_the_backend(
        self, driver: Driver, sibling: Driver, key: str, size: int
    ) -> None:
        await driver.put(key, DATA[:size])
        for _ in range(2):
            assert await sibling.copy(driver, key, key, size, "image/png")
        assert await content(sibling, key) == DATA[:size]

    @pytest.mark.parametrize("size", [99_999, 100_001, 0])
    async def test_copying_a_missing_blob_is_data_loss(
        self, driver: Driver, sibling: Driver, key: str, size: int
    ) -> None:
        if size:
            await store(driver, key, DATA)
        with pytest.raises(DataLoss) as caught:
            await sibling.copy(driver, key, key, size, "")
        assert caught.value.reason is Reason.BLOB_MISSING
        assert await keys(sibling, "") == set()


async def test_s3_stores_the_type_of_a_copy(
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
