"""The S3 driver over a faulty network, and copies within the store."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import web

from media_service.errors import DataLoss, InvalidArgument, MediaError, Reason, Unavailable
from media_service.ids import new_id
from media_service.storage.conformance.blobs import content, put, store
from media_service.storage.driver import PartName
from media_service.storage.drivers.s3 import client as s3_client
from media_service.storage.drivers.s3 import copy as s3_copy
from media_service.storage.drivers.s3 import send_limiter
from media_service.storage.drivers.s3.driver import S3Driver
from media_service.storage.drivers.s3.location import S3Location
from tests.support.long_form import examples
from tests.support.stores.faulty_network import Network, network_before
from tests.support.stores.s3_server import BUCKET

MIB = 1 << 20


@pytest.fixture
async def network(s3_endpoint: str) -> AsyncIterator[Network]:
    async with network_before(s3_endpoint) as network:
        yield network


@pytest.fixture
async def far(network: Network, s3: S3Driver) -> AsyncIterator[S3Driver]:
    """A driver whose requests pass the faulty network. `s3` sets the credentials."""
    driver = S3Driver(S3Location(BUCKET, f"tests/{new_id()}/", network.url, "us-east-1", True))
    yield driver
    await driver.close()


@pytest.mark.parametrize("fault", [500, 503, "lost"])
async def test_transient_failures_are_retried(
    far: S3Driver, network: Network, key: str, fault: int | str
) -> None:
    failed: set[tuple[str, str]] = set()

    def each_once(request: web.BaseRequest, body: bytes) -> int | str | None:
        named = request.method, request.raw_path
        if named in failed:
            return None
        failed.add(named)
        return fault

    network.fault = each_once
    pieces = [b"a" * 5 * MIB, b"the end"]
    await store(far, key, *pieces)
    assert await content(far, key) == b"".join(pieces)
    assert len(failed) >= 6
    await far.delete(key)
    assert await far.stat(key) is None


async def test_a_complete_whose_response_is_lost_succeeds(
    far: S3Driver, network: Network, key: str
) -> None:
    session = await far.begin(key)
    part = await put(far, key, session, b"bytes")
    left = ["lost"]
    network.fault = lambda request, body: (
        left.pop() if left and request.method == "POST" and "uploadId" in request.raw_path else None
    )
    await far.complete(key, session, [part])
    assert left == []
    assert await content(far, key) == b"bytes"


async def test_a_store_that_keeps_failing_is_unavailable(
    far: S3Driver, network: Network, key: str
) -> None:
    network.fault = lambda request, body: 503
    with pytest.raises(Unavailable):
        await far.put(key, b"bytes")


async def test_a_store_that_reads_no_bytes_is_unavailable(
    network: Network, s3: S3Driver, key: str
) -> None:
    """The part is larger than the network buffers."""
    network.deaf = True
    location = S3Location(BUCKET, f"tests/{new_id()}/", network.url, "us-east-1", True)
    driver = S3Driver(location, read_seconds=0.2)
    with pytest.raises(Unavailable):
        await driver.put(key, bytes(32 * MIB))
    await driver.close()


@pytest.fixture
async def narrow(
    network: Network, s3: S3Driver, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[S3Driver]:
    """A driver with two connections that sends the bytes of one request at a time."""
    monkeypatch.setattr(s3_client, "CONNECTIONS", 2)
    monkeypatch.setattr(send_limiter, "CONCURRENT", 1)
    driver = S3Driver(replace(s3.location, endpoint=network.url), read_seconds=0.6)
    yield driver
    await driver.close()


async def test_a_queued_request_may_wait_longer_than_the_read_timeout(
    narrow: S3Driver, network: Network, fresh_key: Callable[[], str]
) -> None:
    network.fault = lambda request, body: asyncio.sleep(0.3)
    names = [fresh_key() for _ in range(12)]
    await asyncio.gather(*(narrow.put(key, key.encode()) for key in names))
    network.fail()
    for key in names:
        assert await content(narrow, key) == key.encode()


async def test_a_queued_request_fails_while_the_store_reads_no_bytes(
    narrow: S3Driver, network: Network, fresh_key: Callable[[], str]
) -> None:
    network.fault = lambda request, body: "silent" if request.method == "PUT" else None
    names = [fresh_key() for _ in range(6)]
    sending = [asyncio.create_task(narrow.put(key, b"bytes")) for key in names]
    async with asyncio.timeout(60):
        while not network.seen:
            await asyncio.sleep(0.01)
    assert await narrow.stat(names[0]) is None  # other requests do not wait for them
    for ended in await asyncio.gather(*sending, return_exceptions=True):
        assert isinstance(ended, Unavailable)
    assert len({path for method, path in network.seen if method == "PUT"}) < len(names)


async def test_a_caller_without_a_free_connection_gets_an_error(
    narrow: S3Driver, s3: S3Driver, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = bytes(8 * MIB)
    await store(s3, key, data)
    slow = [narrow.read(key, 0, len(data), 100_000) for _ in range(2)]
    for reading in slow:
        await anext(reading)
    async with asyncio.timeout(60):
        with pytest.raises(Unavailable, match="cannot be reached"):
            await narrow.stat(key)
    assert "ConnectTimeout" in caplog.text
    for reading in slow:
        await reading.aclose()
    assert await narrow.stat(key) is not None


async def test_an_interrupted_download_is_resumed(
    far: S3Driver, network: Network, key: str
) -> None:
    data = bytes(range(251)) * (3 * MIB // 251)
    await store(far, key, data)
    network.fail("cut", "cut")
    pieces = [piece async for piece in far.read(key, 0, len(data), 100_000)]
    assert b"".join(pieces) == data


async def test_a_download_without_progress_fails(far: S3Driver, network: Network, key: str) -> None:
    await store(far, key, b"bytes")
    network.fault = lambda request, body: "cut"
    with pytest.raises(Unavailable):
        async for _ in far.read(key, 0, 5, 5):
            pass


async def test_bytes_damaged_in_transit_are_refused(
    s3: S3Driver, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await s3.begin(key)
    monkeypatch.setattr(
        "media_service.storage.drivers.s3.driver.base64_of", lambda data: "AAAAAA=="
    )
    with pytest.raises(Unavailable):
        await put(s3, key, session, b"bytes")
    monkeypatch.undo()
    with pytest.raises(DataLoss):
        await s3.read(key, 0, 5, 5).__anext__()


async def test_checksum_support_of_the_store_is_probed_once(
    far: S3Driver, network: Network, key: str
) -> None:
    other_process = S3Driver(far.location)
    session = await other_process.begin(key)
    await other_process.close()

    async def sign(number: int) -> bool:
        name, lifetime = PartName(number, 1), timedelta(hours=1)
        return await far.sign_part(key, session, name, 4, 0, lifetime) is not None

    network.fault = lambda request, body: 400
    with pytest.raises(Unavailable):
        await sign(1)
    network.fail()
    network.seen.clear()
    assert await sign(1)
    assert await sign(2)
    assert [method for method, _ in network.seen] == ["POST", "DELETE"]
    assert [blob.session async for blob in far.list_open()] == [session]


async def test_parts_below_the_minimum_size_are_never_joined(s3: S3Driver, key: str) -> None:
    session = await s3.begin(key)
    sizes = [5 * MIB, 5 * MIB - 1, 5 * MIB, 3]
    parts = [await put(s3, key, session, bytes(size), n) for n, size in enumerate(sizes, 1)]
    with pytest.raises(InvalidArgument) as caught:
        await s3.complete(key, session, parts)
    assert caught.value.reason == Reason.PART_TOO_SMALL
    assert caught.value.metadata == {"part_number": "2", "min_part_size_bytes": f"{5 * MIB}"}
    assert await s3.stat(key) is None


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("InvalidPart", Reason.BLOB_MISSING),
        ("InvalidPartOrder", Reason.INTERNAL),
        ("InvalidArgument", Reason.INTERNAL),
    ],
)
async def test_a_refused_join_is_not_retried(
    far: S3Driver, network: Network, key: str, code: str, reason: Reason
) -> None:
    session = await far.begin(key)
    part = await put(far, key, session, b"bytes")
    asked: list[str] = []

    def refuse(request: web.BaseRequest, body: bytes) -> web.Response | None:
        if request.method != "POST":
            return None
        asked.append(request.raw_path)
        return web.Response(status=400, text=f"<Error><Code>{code}</Code></Error>")

    network.fault = refuse
    with pytest.raises(MediaError) as caught:
        await far.complete(key, session, [part])
    assert (caught.value.reason, len(asked)) == (reason, 1)
    assert not isinstance(caught.value, Unavailable)


async def test_an_invalid_part_number_is_a_permanent_error(s3: S3Driver, key: str) -> None:
    session = await s3.begin(key)
    with pytest.raises(MediaError) as caught:
        await put(s3, key, session, b"bytes", 10_001)
    assert caught.value.reason == Reason.INTERNAL


async def test_a_session_without_parts_is_listed_as_open(s3: S3Driver, key: str) -> None:
    session = await s3.begin(key)
    (found,) = [blob async for blob in s3.list_open()]
    assert (found.key, found.session) == (key, session)
    await s3.abort(key, session)
    assert [blob async for blob in s3.list_open()] == []


async def test_list_open_reads_every_page(
    far: S3Driver, network: Network, fresh_key: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = {key: await far.begin(key) for key in (fresh_key() for _ in range(7))}
    client = await far._client()
    real = client.list_multipart_uploads
    monkeypatch.setattr(
        client, "list_multipart_uploads", lambda **wanted: real(**wanted, MaxUploads=3)
    )
    network.seen.clear()
    found = {blob.key: blob.session async for blob in far.list_open()}
    assert found == opened
    assert len(network.seen) >= 3


@pytest.mark.parametrize("content_type", ["image/png", ""])
async def test_the_store_serves_the_content_type(
    s3: S3Driver, fresh_key: Callable[[], str], content_type: str
) -> None:
    one, other = fresh_key(), fresh_key()
    await s3.put(one, b"small", content_type)
    session = await s3.begin(other, content_type)
    await s3.complete(other, session, [await put(s3, other, session, b"large")])
    for key in (one, other):
        head = await (await s3._client()).head_object(**s3.name(key))
        assert head["ContentType"] in {content_type, "binary/octet-stream"}
        assert not content_type or head["ContentType"] == content_type


# Copies within the store


@pytest.mark.parametrize(
    ("size", "copies"), [(5 * MIB, 1), (5 * MIB + 1, 1), (10 * MIB, 2), (17 * MIB + 345, 3)]
)
async def test_a_large_blob_is_copied_in_ranges(
    s3: S3Driver,
    far: S3Driver,
    network: Network,
    fresh_key: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    copies: int,
) -> None:
    monkeypatch.setattr(s3_copy, "WHOLE", 5 * MIB)
    monkeypatch.setattr(s3_copy, "RANGE", 5 * MIB)
    data = bytes(n % 251 for n in range(5000)) * (size // 5000 + 1)
    source, target = fresh_key(), fresh_key()
    await store(far, source, data[:size])
    sent: list[int] = []

    def watch(request: web.BaseRequest, body: bytes) -> None:
        if "x-amz-copy-source" in request.headers:
            sent.append(len(body))

    network.fault = watch
    assert await far.copy(far, source, target, size, "image/png")
    assert sent == [0] * copies
    assert await content(far, target) == data[:size]
    head = await (await far._client()).head_object(**far.name(target))
    assert head["ContentType"] == "image/png"
    assert [blob async for blob in far.list_open()] == []


async def test_a_failed_copy_leaves_nothing(
    far: S3Driver,
    network: Network,
    fresh_key: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(s3_copy, "WHOLE", 5 * MIB)
    monkeypatch.setattr(s3_copy, "RANGE", 5 * MIB)
    source, target = fresh_key(), fresh_key()
    await store(far, source, b"x" * 12 * MIB)
    network.fault = lambda request, body: 400 if "partNumber=2" in request.raw_path else None
    with pytest.raises(Unavailable):
        await far.copy(far, source, target, 12 * MIB, "image/png")
    assert await far.stat(target) is None
    assert [blob async for blob in far.list_open()] == []


@pytest.mark.parametrize(("status", "code"), [(404, "NoSuchKey"), (400, "InvalidArgument")])
async def test_a_source_deleted_during_a_copy_is_named_in_the_error(
    far: S3Driver,
    network: Network,
    fresh_key: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: str,
) -> None:
    """SeaweedFS answers InvalidArgument."""
    monkeypatch.setattr(s3_copy, "WHOLE", 5 * MIB)
    monkeypatch.setattr(s3_copy, "RANGE", 5 * MIB)
    source, target = fresh_key(), fresh_key()
    await store(far, source, b"x" * 12 * MIB)

    def gone(request: web.BaseRequest, body: bytes) -> web.Response | None:
        if "partNumber=2" in request.raw_path:
            return web.Response(status=status, text=f"<Error><Code>{code}</Code></Error>")
        missing = request.method == "HEAD" and source in request.raw_path
        return web.Response(status=404) if missing else None

    network.fault = gone
    with pytest.raises(DataLoss) as caught:
        await far.copy(far, source, target, 12 * MIB, "image/png")
    assert caught.value.metadata["key"] == source
    assert [blob async for blob in far.list_open()] == []


async def test_a_copy_has_the_encryption_and_storage_class_of_its_store(
    far: S3Driver, network: Network, fresh_key: Callable[[], str]
) -> None:
    source, target = fresh_key(), fresh_key()
    await store(far, source, b"bytes")
    other = S3Driver(replace(far.location, encryption="AES256", storage_class="STANDARD_IA"))
    asked: list[tuple[str | None, ...]] = []

    def note(request: web.BaseRequest, body: bytes) -> int | None:
        if "x-amz-copy-source" not in request.headers:
            return None
        names = ("server-side-encryption", "storage-class", "metadata-directive")
        asked.append(tuple(request.headers.get(f"x-amz-{name}") for name in names))
        return 400

    network.fault = note
    with pytest.raises(Unavailable):
        await other.copy(far, source, target, 5, "image/png")
    await other.close()
    assert asked == [("AES256", "STANDARD_IA", "REPLACE")]


async def test_a_copy_from_another_endpoint_is_declined(
    s3: S3Driver, far: S3Driver, key: str
) -> None:
    await store(far, key, b"bytes")
    assert not await s3.copy(far, key, key, 5, "image/png")
    assert await s3.stat(key) is None


async def test_two_processes_may_check_an_empty_bucket_concurrently(
    s3: S3Driver, s3_endpoint: str
) -> None:
    """A server and a worker that start together do this. `s3` sets the credentials."""
    driver = S3Driver(S3Location(BUCKET, f"{new_id()}/b/c/d/e/", s3_endpoint, "us-east-1", True))

    async def often() -> None:
        for _ in range(examples(15, 60)):
            await driver.check()

    await asyncio.gather(often(), often())
    await driver.close()


async def test_a_failed_check_states_its_cause(
    s3: S3Driver, s3_endpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    await s3.check()
    for location, says in (
        (S3Location("nowhere", "", s3_endpoint, "us-east-1", True), "bucket nowhere"),
        (S3Location(BUCKET, "", "http://127.0.0.1:1", "us-east-1", True), "cannot be reached"),
    ):
        driver = S3Driver(location)
        with pytest.raises(Unavailable, match=says):
            await driver.check()
        await driver.close()
    assert "EndpointConnection" in caplog.text
