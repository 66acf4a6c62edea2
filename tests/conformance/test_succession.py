"""The S3 driver joins the sessions of successive writers into one blob."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from aiohttp import web
from crc32c import crc32c

from media_service.errors import MediaError, Unavailable
from media_service.storage.conformance.blobs import content, keys, put, whole
from media_service.storage.conformance.succession import next_session, opened, three_writers
from media_service.storage.driver import PartName, StoredPart
from media_service.storage.drivers.s3 import copy as s3_copy
from media_service.storage.drivers.s3.driver import S3Driver
from tests.support.stores.faulty_network import Fault, network_before
from tests.support.tools import NO_TLS

MIB = 1 << 20
HOUR = timedelta(hours=1)


async def test_a_new_session_keeps_the_content_type(s3: S3Driver, key: str) -> None:
    session = await s3.begin(key, "image/png")
    first = await put(s3, key, session, whole(s3, b"first"))
    session = await next_session(s3, key, session, 2)
    await s3.complete(key, session, [first, await put(s3, key, session, b"second", 2)])
    head = await (await s3._client()).head_object(**s3.name(key))
    assert head["ContentType"] == "image/png"


# Signed parts


async def test_a_signed_part_belongs_to_the_session_it_was_signed_for(
    s3: S3Driver, key: str
) -> None:
    session = before = await s3.begin(key)
    first = await put(s3, key, session, whole(s3, b"first"))
    second = StoredPart(PartName(2, 1), 6, sealed=True)
    dead = await s3.sign_part(key, before, second.name, 4, crc32c(b"dead"), HOUR)
    session = await next_session(s3, key, session, 2)
    live = await s3.sign_part(key, session, second.name, 6, crc32c(b"second"), HOUR)
    assert dead is not None
    assert live is not None
    sent = httpx.put(
        dead.url, content=b"dead", headers=dead.headers, trust_env=False, verify=NO_TLS
    )
    assert sent.status_code == 200
    names = [first.name, second.name]
    expected = first.size, crc32c(whole(s3, b"first"))
    assert await s3.stored_parts(key, session, names) == {first.name: expected}
    sent = httpx.put(
        live.url, content=b"second", headers=live.headers, trust_env=False, verify=NO_TLS
    )
    assert sent.status_code == 200
    assert await s3.stored_parts(key, session, names) == {
        first.name: expected,
        second.name: (6, crc32c(b"second")),
    }
    await s3.complete(key, session, [first, second])
    assert await content(s3, key) == whole(s3, b"first") + b"second"
    assert await s3.stored_parts(key, session, names) == {}


# Joining several sessions into one object


async def test_a_join_interrupted_at_any_request_is_resumed(
    s3: S3Driver, s3_endpoint: str, fresh_key: Callable[[], str]
) -> None:
    """Simulates a crash before each request in turn: it and all later requests fail."""
    failed, passing = True, 0
    async with network_before(s3_endpoint) as network:
        far = S3Driver(replace(s3.location, endpoint=network.url))
        while failed:
            key = fresh_key()
            session, parts, data = await two_writers(s3, key)
            network.fault = fails_after(passing)
            failed = await fails(far.complete(key, session, parts))
            found = await s3.stat(key)
            assert found is None or found.size in {parts[0].size, len(data)}
            await s3.complete(key, session, parts)
            assert await content(s3, key) == data
            assert await keys(s3, key) == {key}
            async for blob in s3.list_open():  # the joined object of the failed attempt
                assert blob.key == key
                await s3.abort(blob.key, blob.session)
            passing += 1
        await far.close()
    assert passing > 12


def fails_after(passing: int) -> Fault:
    left = iter(range(passing))
    return lambda request, body: None if next(left, -1) >= 0 else 400


async def two_writers(s3: S3Driver, key: str) -> tuple[str, list[StoredPart], bytes]:
    session, first = await s3.begin(key), whole(s3, b"first")
    parts = [await put(s3, key, session, first)]
    session = await next_session(s3, key, session, 2)
    parts.append(await put(s3, key, session, b"second", 2))
    return session, parts, first + b"second"


async def fails(work: Awaitable[None]) -> bool:
    try:
        await work
    except Unavailable:
        return True
    return False


@pytest.mark.parametrize("size", [5 * MIB, 10 * MIB - 1, 10 * MIB, 12 * MIB])
async def test_every_copied_range_has_the_minimum_part_size(
    s3: S3Driver, key: str, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(s3_copy, "RANGE", 5 * MIB)
    session, first = await s3.begin(key), (bytes(range(251)) * (size // 251 + 1))[:size]
    parts = [await put(s3, key, session, first)]
    session = await next_session(s3, key, session, 2)
    parts.append(await put(s3, key, session, b"second", 2))
    await s3.complete(key, session, parts)
    assert await content(s3, key) == first + b"second"


async def test_sessions_are_completed_and_aborted_concurrently(
    s3: S3Driver, s3_endpoint: str, key: str
) -> None:
    """The store answers the requests for three sessions only after all of them have arrived."""
    session, parts, data = await three_writers(s3, key)
    waiting = {method: [asyncio.Barrier(3)] * 3 for method in ("POST", "DELETE")}

    def together(request: web.BaseRequest, body: bytes) -> Awaitable[object] | None:
        of_a_session = "uploadId" in request.raw_path and waiting.get(request.method)
        return of_a_session.pop().wait() if of_a_session else None

    async with network_before(s3_endpoint) as network, asyncio.timeout(60):
        network.fault = together
        far = S3Driver(replace(s3.location, endpoint=network.url))
        await far.complete(key, session, parts)
        await far.close()
    assert waiting == {"POST": [], "DELETE": []}
    assert await content(s3, key) == data
    assert await keys(s3, "") == {key}
    assert await opened(s3) == set()


# AWS


async def test_the_test_servers_require_consecutive_part_numbers_like_aws(
    s3: S3Driver, key: str
) -> None:
    for numbers in ((1, 3), (2,)):
        session = await s3.begin(key)
        parts = [await put(s3, key, session, whole(s3, b"part"), number) for number in numbers]
        with pytest.raises(MediaError, match="InvalidPartOrder"):
            await s3.complete(key, session, parts)


async def test_the_test_servers_copy_ranges_only_of_large_objects_like_aws(
    s3: S3Driver, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, first = await s3.begin(key), whole(s3, b"first")
    parts = [await put(s3, key, session, first)]
    session = await next_session(s3, key, session, 2)
    parts.append(await put(s3, key, session, b"second", 2))
    monkeypatch.setattr(s3_copy, "MIN_PART", 0)
    with pytest.raises(Unavailable, match="InvalidRequest"):
        await s3.complete(key, session, parts)
    monkeypatch.undo()
    await s3.complete(key, session, parts)
    assert await content(s3, key) == first + b"second"
