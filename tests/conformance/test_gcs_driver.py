"""The Cloud Storage driver: composition in levels, and retries over a faulty network."""

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from gcloud.aio.storage import Storage

from media_service.errors import DataLoss, Unavailable
from media_service.ids import new_id
from media_service.storage.conformance.blobs import content, keys, put, store
from media_service.storage.crc32c_combine import base64_of
from media_service.storage.driver import PartName, StoredPart
from media_service.storage.drivers.gcs import bucket as gcs_bucket
from media_service.storage.drivers.gcs import client as gcs_client
from media_service.storage.drivers.gcs.driver import GcsDriver
from tests.support.stores.faulty_network import Network, network_before
from tests.support.stores.gcs_server import GCS_BUCKET
from tests.support.stores.service_account import service_account


@pytest.fixture
async def network(gcs_endpoint: str) -> AsyncIterator[Network]:
    async with network_before(gcs_endpoint) as network:
        yield network


@pytest.fixture
async def far(network: Network) -> AsyncIterator[GcsDriver]:
    driver = GcsDriver(GCS_BUCKET, f"tests/{new_id()}/", network.url)
    yield driver
    await driver.close()


async def many_parts(driver: GcsDriver, key: str, count: int) -> tuple[list[StoredPart], bytes]:
    pieces = [f"{n} ".encode() for n in range(count)]
    parts = [await put(driver, key, "", piece, n + 1) for n, piece in enumerate(pieces)]
    return parts, b"".join(pieces)


@pytest.mark.parametrize("count", [1, 32, 33, 65, 1025])
async def test_any_number_of_parts_is_joined(gcs: GcsDriver, key: str, count: int) -> None:
    parts, data = await many_parts(gcs, key, count)
    await gcs.complete(key, "", parts)
    assert await content(gcs, key) == data
    assert [found["name"] async for found in gcs.bucket.list(gcs.prefix)] == [gcs.prefix + key]


async def test_an_interrupted_complete_is_resumed(
    far: GcsDriver, network: Network, key: str
) -> None:
    parts, data = await many_parts(far, key, 100)
    composed = 0

    def stop_at_the_third(request: web.BaseRequest, body: bytes) -> int | None:
        nonlocal composed
        composed += request.path.endswith("/compose")
        return 400 if request.path.endswith("/compose") and composed >= 3 else None

    network.fault = stop_at_the_third
    with pytest.raises(Unavailable):
        await far.complete(key, "", parts)
    assert await far.stat(key) is None
    network.fault = lambda request, body: None
    network.seen.clear()
    await far.complete(key, "", parts)
    assert await content(far, key) == data
    assert sum(path.endswith("/compose") for _, path in network.seen) == 3  # two exist already


async def test_concurrent_completions_of_many_parts_agree(gcs: GcsDriver, key: str) -> None:
    parts, data = await many_parts(gcs, key, 70)
    await asyncio.gather(*(gcs.complete(key, "", parts) for _ in range(6)))
    assert await content(gcs, key) == data


async def test_a_complete_whose_response_is_lost_succeeds(
    far: GcsDriver, network: Network, key: str
) -> None:
    parts, data = await many_parts(far, key, 2)
    left = ["lost"]
    network.fault = lambda request, body: (
        left.pop() if left and request.path.endswith("/compose") else None
    )
    await far.complete(key, "", parts)
    assert await content(far, key) == data


@pytest.mark.parametrize("work", ["compose", "rewriteTo"])
async def test_compose_and_copy_may_take_longer_than_the_read_timeout(
    gcs: GcsDriver, network: Network, key: str, work: str
) -> None:
    parts, data = await many_parts(gcs, key, 2)
    await gcs.put(key + "-source", data)
    network.fault = lambda request, body: asyncio.sleep(2) if work in request.path else None
    driver = GcsDriver(GCS_BUCKET, gcs.prefix, network.url, read_seconds=1)
    if work == "compose":
        await driver.complete(key, "", parts)
    else:
        assert await driver.copy(driver, key + "-source", key, len(data), "")
    await driver.close()
    assert await content(gcs, key) == data
    assert [work in path for _, path in network.seen].count(True) == 1


async def test_a_part_name_can_be_written_only_once(gcs: GcsDriver, key: str) -> None:
    writers = [await gcs.open_part(key, "", PartName(1, 1)) for _ in range(2)]
    await writers[0].write([b"first"])
    await writers[1].write([b"other"])
    await writers[0].seal()
    with pytest.raises(RuntimeError):
        await writers[1].seal()
    await writers[1].discard()
    await gcs.complete(key, "", [StoredPart(PartName(1, 1), 5, sealed=True)])
    assert await content(gcs, key) == b"first"


async def test_a_sealed_part_refuses_further_bytes(gcs: GcsDriver, key: str) -> None:
    writer = await gcs.open_part(key, "", PartName(1, 1))
    await writer.seal()
    with pytest.raises(RuntimeError):
        await writer.write([b"late"])


async def test_a_discard_removes_a_sealed_part(gcs: GcsDriver, key: str) -> None:
    writer = await gcs.open_part(key, "", PartName(1, 1))
    await writer.write([b"bytes"])
    await writer.seal()
    await writer.discard()
    with pytest.raises(DataLoss):
        await gcs.complete(key, "", [StoredPart(PartName(1, 1), 5, sealed=True)])


@pytest.mark.parametrize("fault", [500, 503, 429, 408, "lost", "cut"])
async def test_transient_failures_are_retried(
    far: GcsDriver, network: Network, key: str, fault: int | str
) -> None:
    failing: list[bool] = []

    def every_other(request: web.BaseRequest, body: bytes) -> int | str | None:
        failing.append(not failing or not failing[-1])
        return fault if failing[-1] else None

    network.fault = every_other
    await store(far, key, b"one", b"two")
    assert await content(far, key) == b"onetwo"
    assert await keys(far, "") == {key}
    await far.put(key, b"small")
    await far.delete(key)
    assert await keys(far, "") == set()


async def test_a_store_that_keeps_failing_is_unavailable(
    far: GcsDriver, network: Network, key: str
) -> None:
    network.fault = lambda request, body: 503
    with pytest.raises(Unavailable, match="answered 503"):
        await far.put(key, b"bytes")


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_states_its_cause_and_is_not_retried(
    far: GcsDriver, network: Network, key: str, status: int
) -> None:
    network.fault = lambda request, body: status
    with pytest.raises(Unavailable, match="check its URL and the credentials"):
        await far.put(key, b"bytes")
    with pytest.raises(Unavailable, match="check its URL and the credentials"):
        await content(far, key, 0, 1)
    assert len(network.seen) == 2


async def test_a_store_that_reads_no_bytes_is_unavailable(network: Network, key: str) -> None:
    """The part is larger than the network buffers."""
    network.deaf = True
    driver = GcsDriver(GCS_BUCKET, f"tests/{new_id()}/", network.url, read_seconds=0.2)
    with pytest.raises(Unavailable):
        await driver.put(key, bytes(32 << 20))
    await driver.close()


async def test_an_interrupted_download_is_resumed(
    far: GcsDriver, network: Network, key: str
) -> None:
    data = bytes(range(256)) * 2048
    await store(far, key, data)
    network.seen.clear()
    network.fail("cut", "cut", "cut")
    found = b"".join([piece async for piece in far.read(key, 0, len(data), 10_000)])
    assert found == data
    assert len(network.seen) == 4


async def test_a_download_without_progress_fails(
    far: GcsDriver, network: Network, key: str
) -> None:
    await store(far, key, b"bytes")
    network.fault = lambda request, body: "cut"
    with pytest.raises(Unavailable):
        await content(far, key, 0, 5)


async def test_bytes_damaged_in_transit_are_refused(gcs: GcsDriver, key: str) -> None:
    right = base64_of
    assert right(b"123456789") == "4waSgw=="  # E3069283, RFC 3720
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gcs_bucket, "base64_of", lambda data: right(data + b"damage"))
        with pytest.raises(Unavailable):
            await gcs.put(key, b"bytes")
    assert await gcs.stat(key) is None


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits list pages to ten objects."""
    real = Storage.list_objects

    async def list_objects(
        self: Storage, bucket: str, *, params: dict[str, str] | None = None, **options: Any
    ) -> dict[str, Any]:
        return await real(self, bucket, params={**(params or {}), "maxResults": "10"}, **options)

    monkeypatch.setattr(Storage, "list_objects", list_objects)


@pytest.mark.usefixtures("small_pages")
async def test_list_reads_every_page(far: GcsDriver, network: Network) -> None:
    names = {f"blobs/aa/{n}" for n in range(25)}
    for name in names:
        await far.put(name, b"x")
    await far.put("parts/blobs/aa/1/1-1", b"looks like a part")
    network.seen.clear()
    assert await keys(far, "") == names
    assert len(network.seen) == 3


@pytest.mark.usefixtures("small_pages")
async def test_an_open_blob_is_listed_once_however_many_parts_it_has(gcs: GcsDriver) -> None:
    opened = ["blobs/aa/1", "blobs/aa/11", "blobs/ab/1"]
    for key in opened:
        await many_parts(gcs, key, 13)
    assert [blob.key async for blob in gcs.list_open()] == opened


@pytest.mark.parametrize("content_type", ["image/png", ""])
async def test_the_store_serves_the_content_type(
    gcs: GcsDriver, fresh_key: Callable[[], str], content_type: str
) -> None:
    one, other = fresh_key(), fresh_key()
    await gcs.put(one, b"small", content_type)
    session = await gcs.begin(other, content_type)
    parts = [await put(gcs, other, session, b"x", n) for n in range(1, 41)]
    await gcs.complete(other, session, parts)
    for key in (one, other):
        found = await gcs.bucket.metadata(gcs.name(key))
        assert found is not None
        assert found["contentType"] == (content_type or "application/octet-stream")


async def test_a_rewrite_continues_until_it_is_done(
    far: GcsDriver, network: Network, fresh_key: Callable[[], str]
) -> None:
    source, target = fresh_key(), fresh_key()
    await store(far, source, b"bytes")
    tokens: list[str | None] = []

    def halfway(request: web.BaseRequest, body: bytes) -> web.Response | None:
        if "/rewriteTo/" not in request.path:
            return None
        tokens.append(request.query.get("rewriteToken"))
        if len(tokens) == 3:
            return None
        return web.json_response({"done": False, "rewriteToken": str(len(tokens))})

    network.fault = halfway
    assert await far.copy(far, source, target, 5, "image/png")
    assert tokens == [None, "1", "2"]
    assert await content(far, target) == b"bytes"
    found = await far.bucket.metadata(far.name(target))
    assert found is not None
    assert found["contentType"] == "image/png"


async def test_an_accessible_bucket_passes_the_check(gcs: GcsDriver) -> None:
    await gcs.check()
    assert await keys(gcs, "") == set()


async def test_a_failed_check_states_its_cause(gcs_endpoint: str, network: Network) -> None:
    network.fault = lambda request, body: 403
    for bucket, endpoint, words in (
        ("missing", gcs_endpoint, "Bucket missing.*no such bucket"),
        ("media", network.url, "Bucket media.*refused.*credentials"),
        ("media", "http://127.0.0.1:9", "Bucket media.*cannot be reached.*127.0.0.1"),
    ):
        driver = GcsDriver(bucket, "", endpoint)
        with pytest.raises(Unavailable, match=words):
            await driver.check()
        await driver.close()


async def test_missing_credentials_are_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nothing"))
    driver = GcsDriver("media", "", None)
    with pytest.raises(Unavailable, match="GOOGLE_APPLICATION_CREDENTIALS"):
        await driver.check()
    await driver.close()


@pytest.fixture
def service_file(network: Network, tmp_path: Path) -> Path:
    path = tmp_path / "service.json"
    service_account(path, f"{network.url}/token")
    return path


async def test_a_token_is_sent_and_never_printed(
    network: Network, service_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(service_file))
    sent: list[str | None] = []

    def answer(request: web.BaseRequest, body: bytes) -> web.Response:
        if request.path == "/token":
            return web.json_response({"access_token": "secret-token", "expires_in": 3600})
        sent.append(request.headers.get("Authorization"))
        return web.Response(status=403, text="not you")

    network.fault = answer
    real = Storage
    monkeypatch.setattr(
        gcs_client,
        "Storage",
        lambda session, api_root: real(session=session, api_root=network.url, api_is_dev=False),
    )
    driver = GcsDriver("media", "", None)
    with pytest.raises(Unavailable) as caught:
        await driver.put("key", b"bytes")
    await driver.close()
    assert sent == ["Bearer secret-token"]
    error: BaseException | None = caught.value
    report = "".join(traceback.format_exception(caught.value))
    while error is not None:
        report += repr(error) + str(error) + repr(error.args) + repr(vars(error))
        error = error.__cause__ or error.__context__
    assert "secret-token" not in report
    assert "not you" in report
