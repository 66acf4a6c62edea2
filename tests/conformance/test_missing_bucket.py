"""A bucket that does not exist is an outage, not a store without blobs."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from media_service.errors import Reason, Unavailable
from media_service.ids import new_id
from media_service.storage.conformance.blobs import content, put
from media_service.storage.driver import Driver, PartName, StoredPart
from media_service.storage.drivers.gcs.driver import GcsDriver
from media_service.storage.drivers.s3.driver import S3Driver
from media_service.storage.marked_driver import MarkedDriver
from tests.conformance.conftest import bucket_at
from tests.support.stores.s3_server import BUCKET


@pytest.fixture(params=["s3", "gcs"])
def endpoint_of(request: pytest.FixtureRequest, s3_keys: None) -> tuple[str, str]:
    return request.param, request.getfixturevalue(f"{request.param}_endpoint")


def driver_of(endpoint_of: tuple[str, str], bucket: str) -> Driver:
    kind, endpoint = endpoint_of
    if kind == "gcs":
        return GcsDriver(bucket, "", endpoint)
    return S3Driver(replace(bucket_at(endpoint), bucket=bucket))


@pytest.fixture
async def nowhere(endpoint_of: tuple[str, str]) -> AsyncIterator[Driver]:
    driver = driver_of(endpoint_of, "nowhere")

    async def known() -> str:
        return new_id()

    yield MarkedDriver(driver, known)
    await driver.close()


@pytest.fixture
async def session(endpoint_of: tuple[str, str], key: str) -> AsyncIterator[str]:
    """The session of a blob that was begun while there was a bucket."""
    driver = driver_of(endpoint_of, BUCKET)
    session = await driver.begin(key)
    yield session
    await driver.abort(key, session)
    await driver.close()


PART = StoredPart(PartName(1, 1), 5, sealed=True)
CALLS: dict[str, Callable[[Driver, str, str], Awaitable[object]]] = {
    "check": lambda driver, key, session: driver.check(),
    "put": lambda driver, key, session: driver.put(key, b"bytes"),
    "stat": lambda driver, key, session: driver.stat(key),
    "read": lambda driver, key, session: content(driver, key, 0, 5),
    "part": lambda driver, key, session: put(driver, key, session, b"bytes"),
    "complete": lambda driver, key, session: driver.complete(key, session, [PART]),
}


@pytest.mark.parametrize("call", CALLS)
async def test_a_missing_bucket_is_unavailable(
    nowhere: Driver, session: str, key: str, call: str
) -> None:
    with pytest.raises(Unavailable) as caught:
        await CALLS[call](nowhere, key, session)
    assert caught.value.reason is Reason.STORAGE_UNAVAILABLE
