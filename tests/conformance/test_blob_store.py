"""The blob store over each driver, and the URLs that open it."""

import hashlib
from pathlib import Path

import pytest

from media_service.storage.blob_store import BlobStore, open_store
from media_service.storage.conformance.blobs import content, store
from media_service.storage.driver import Driver
from media_service.storage.drivers.local.driver import LocalDriver
from media_service.storage.drivers.memory import MemoryDriver

DATA = bytes(n % 251 for n in range(100_000))


async def test_head_returns_the_first_bytes_of_a_blob(driver: Driver, key: str) -> None:
    await store(driver, key, DATA)
    blobs = BlobStore("raw", driver)
    assert await blobs.head(key, len(DATA), 4096) == DATA[:4096]
    assert await blobs.head(key, len(DATA), 1 << 20) == DATA


async def test_sha256_covers_all_bytes(driver: Driver, key: str) -> None:
    await store(driver, key, DATA)
    blobs = BlobStore("raw", driver)
    assert await blobs.sha256(key, len(DATA)) == hashlib.sha256(DATA).digest()


async def test_a_blob_is_available_as_a_file(driver: Driver, key: str) -> None:
    await store(driver, key, DATA)
    async with BlobStore("raw", driver).as_file(key, len(DATA)) as path:
        assert path.read_bytes() == DATA
    assert await content(driver, key) == DATA


def test_the_folder_of_a_key_is_the_end_of_its_id() -> None:
    assert BlobStore.key("0199c7a5-6c1e-7cc3-98ab-4a61f21a3a0b") == (
        "blobs/0b/0199c7a5-6c1e-7cc3-98ab-4a61f21a3a0b"
    )


@pytest.mark.parametrize("name", ["plain", "with space", "100%", "a#b", "a?b", "größe", "%41"])
async def test_a_file_url_names_its_directory(tmp_path: Path, name: str) -> None:
    opened = open_store("raw", (tmp_path / name).as_uri())
    assert isinstance(opened.driver, LocalDriver)
    assert opened.driver.root == tmp_path / name
    await opened.driver.close()


async def test_a_memory_url_has_no_directory() -> None:
    opened = open_store("raw", "memory://")
    assert isinstance(opened.driver, MemoryDriver)
    assert opened.driver.local_path("blobs/00/x") is None


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/path", "one of file://, gs://, memory://, s3://"),
        ("/var/lib/media", "one of file://, gs://, memory://, s3://"),
        ("file://data/raw", "an absolute path"),
        ("file://", "an absolute path"),
        ("gs://A", "a valid bucket name"),
    ],
)
def test_the_error_for_a_bad_url_states_what_is_allowed(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_store("raw", url)
