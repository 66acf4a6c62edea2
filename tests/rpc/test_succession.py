"""Superseded writers on S3, where a part has no name but its number: the next writer continues at
the next number, and late bytes of the former change nothing."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import httpx
import pytest
from aiohttp import web
from mediaservice.v1 import upload_pb2, upload_service_pb2

from media_service.storage.conformance.blobs import put as store_part
from media_service.storage.drivers.s3.driver import S3Driver
from media_service.storage.drivers.s3.location import parse_location
from media_service.storage.drivers.s3.multipart_uploads import parse_session
from tests.support.media.small_files import video_bytes
from tests.support.rpc.held_calls import MIB, Held, Write
from tests.support.rpc.parts import complete, listed, named, put, sign
from tests.support.rpc.server import Caller, Running, Start, refused
from tests.support.stores.faulty_network import network_before
from tests.support.tools import NO_TLS

PART = 8 * MIB
LEAST = 5 * MIB
Upload = upload_pb2.Upload


@dataclass
class Bucket:
    """The store itself, and the objects of an upload in it."""

    driver: S3Driver
    service: Running

    async def key_and_session(self, upload_id: str) -> tuple[str, str]:
        query = "select blob_id::text, store_session from uploads where upload_id = %s"
        async with self.service.database() as db:
            row = await (await db.execute(query, (upload_id,))).fetchone()
        assert row is not None
        blob_id, session = row
        return f"blobs/{blob_id[-2:]}/{blob_id}", session

    async def another_session(self, upload_id: str, before: str) -> None:
        """Waits until another multipart upload has replaced this one."""
        async with asyncio.timeout(20):
            while (await self.key_and_session(upload_id))[1] == before:
                await asyncio.sleep(0.05)

    async def left(self) -> list[str]:
        """The multipart uploads that are open."""
        return [blob.key async for blob in self.driver.list_open()]

    async def objects(self) -> list[str]:
        return [info.key async for info in self.driver.list("blobs/")]


@pytest.fixture
async def bucket(s3_service: Running, s3_url: str) -> AsyncIterator[Bucket]:
    driver = S3Driver(parse_location(s3_url))
    yield Bucket(driver, s3_service)
    await driver.close()


def put_signed(signed: Any, data: bytes) -> httpx.Response:
    """Sends bytes to the URL of a signed part."""
    headers = dict(signed.headers)
    return httpx.put(signed.url, content=data, headers=headers, trust_env=False, verify=NO_TLS)


async def numbers(caller: Caller, upload_id: str) -> list[int]:
    return [part.part_number for part in await listed(caller, upload_id)]


def messages(upload_id: str, data: bytes, start: int) -> list[Write]:
    """Messages with all of the data from `start` on."""
    found = [Write(offset=n, data=data[n : n + MIB]) for n in range(start, len(data), MIB)]
    found[0].upload_id = upload_id
    return found


async def finish(caller: Caller, upload_id: str, data: bytes) -> Upload:
    """Resumes the upload at its offset and finishes it."""
    sent = messages(upload_id, data, (await caller.get_upload(upload_id)).committed_size_bytes)
    sent[-1].finish = True
    await caller.write(sent)
    return await caller.until_upload(upload_id, lambda it: it.state != Upload.VERIFYING)


async def test_an_upload_that_was_taken_over_twice_has_the_right_sha256(
    on_s3: Caller, bucket: Bucket
) -> None:
    data = video_bytes(2 * PART + 3 * MIB)
    sha256 = hashlib.sha256(data).digest()
    upload_id = (await on_s3.create(checksums={"sha256": sha256})).upload_id
    held = []
    for number in (1, 2):
        start = (number - 1) * PART
        held.append(Held(on_s3, upload_id, start, data[start : start + PART + MIB]))
        await held[-1].counted(start + PART)
        assert (await on_s3.get_upload(upload_id)).next_part_number == number + 1
    key, before = await bucket.key_and_session(upload_id)
    third = Held(on_s3, upload_id, 2 * PART, data[2 * PART :][:MIB])
    await bucket.another_session(upload_id, before)
    for stream in held:
        assert (await stream.refused()).reason == "SUPERSEDED"
    # The second writer's bytes in flight arrive now.
    for number in (3, 4):
        await store_part(bucket.driver, key, before, b"late" * LEAST, number)
    assert await numbers(on_s3, upload_id) == [1, 2]
    done = await finish(on_s3, upload_id, data)
    assert (await third.refused()).reason in {"SUPERSEDED", "UPLOAD_NOT_ACTIVE"}
    assert done.state == Upload.FINISHED
    assert done.media.checksums.sha256 == sha256
    assert await on_s3.uploaded(upload_id) == data
    assert await bucket.objects() == [key]
    assert await bucket.left() == []


async def test_parts_continue_where_a_stream_broke_off(on_s3: Caller, bucket: Bucket) -> None:
    data = video_bytes(PART + 3 * LEAST + 1000)
    upload_id = (await on_s3.create(size_bytes=len(data))).upload_id
    stream = Held(on_s3, upload_id, 0, data[: PART + MIB])
    await stream.counted(PART)
    at = (await on_s3.get_upload(upload_id)).next_part_number
    assert at == 2
    pieces = [data[n : n + LEAST] for n in range(PART, len(data), LEAST)]
    # All at once: the first one prepares it for all.
    await asyncio.gather(*(put(on_s3, upload_id, at + n, p) for n, p in enumerate(pieces)))
    assert (await stream.refused()).reason == "SUPERSEDED"
    assert await numbers(on_s3, upload_id) == [1, 2, 3, 4, 5]
    assert (await complete(on_s3, upload_id)).state == Upload.FINISHED
    assert await on_s3.uploaded(upload_id) == data
    assert await bucket.left() == []


async def test_a_stream_reuses_the_number_of_a_signed_part_that_never_arrived(
    on_s3: Caller, bucket: Bucket
) -> None:
    data = video_bytes(2 * LEAST + 1000)
    upload_id = (await on_s3.create(size_bytes=len(data))).upload_id
    await put(on_s3, upload_id, 1, data[:LEAST])
    other = b"other" * MIB
    (signed,) = (await sign(on_s3, upload_id, named(2, other))).parts
    await on_s3.write(messages(upload_id, data[: 2 * LEAST], LEAST))
    sent = put_signed(signed, other)
    assert sent.status_code == 200  # stored by S3, but not a part of the upload
    await put(on_s3, upload_id, 3, data[2 * LEAST :])
    assert await numbers(on_s3, upload_id) == [1, 2, 3]
    assert (await complete(on_s3, upload_id)).state == Upload.FINISHED
    assert await on_s3.uploaded(upload_id) == data
    assert await bucket.left() == []


async def test_bytes_of_a_dead_stream_are_not_mistaken_for_an_identical_part(
    on_s3: Caller, bucket: Bucket
) -> None:
    data = video_bytes(2 * PART)
    upload_id = (await on_s3.create()).upload_id
    stream = Held(on_s3, upload_id, 0, data[:PART])
    await stream.counted(PART)
    key, before = await bucket.key_and_session(upload_id)
    await store_part(bucket.driver, key, before, data[PART:], 2)
    (signed,) = (await sign(on_s3, upload_id, named(2, data[PART:]))).parts
    assert await numbers(on_s3, upload_id) == [1]
    assert (await refused(complete(on_s3, upload_id))).reason == "UPLOAD_INCOMPLETE"
    sent = put_signed(signed, data[PART:])
    assert sent.status_code == 200
    assert (await complete(on_s3, upload_id)).state == Upload.FINISHED
    assert await on_s3.uploaded(upload_id) == data
    assert (await stream.refused()).reason in {"SUPERSEDED", "UPLOAD_NOT_ACTIVE"}


async def test_an_aborted_upload_leaves_no_multipart_upload_open(
    on_s3: Caller, bucket: Bucket
) -> None:
    data = video_bytes(PART + MIB)
    upload_id = (await on_s3.create()).upload_id
    stream = Held(on_s3, upload_id, 0, data)
    await stream.counted(PART)
    await put(on_s3, upload_id, 2, data[PART:])
    assert len(await bucket.left()) == 2
    request = upload_service_pb2.AbortUploadRequest(upload_id=upload_id)
    await on_s3.call(on_s3.uploads.AbortUpload, request)
    async with asyncio.timeout(20):
        while await bucket.left():
            await asyncio.sleep(0.05)
    assert await bucket.objects() == []
    await stream.refused()


@pytest.mark.parametrize("way", ["stream", "sign"])
async def test_leaving_while_a_multipart_upload_is_created_leaves_no_orphan(
    start: Start, s3_url: str, way: str
) -> None:
    data, endpoint = video_bytes(PART + MIB), parse_qs(urlsplit(s3_url).query)["endpoint"][0]
    async with network_before(endpoint) as network:
        service = await start(storage_raw_url=s3_url.replace(endpoint, network.url))
        caller, bucket = await service.caller(), Bucket(S3Driver(parse_location(s3_url)), service)
        upload_id = (await caller.create()).upload_id
        stream = Held(caller, upload_id, 0, data)
        await stream.counted(PART)
        _, before = await bucket.key_and_session(upload_id)
        begun, left = asyncio.Event(), asyncio.Event()

        def begin(request: web.BaseRequest, body: bytes) -> Awaitable[object] | None:
            if request.method != "POST" or "uploads" not in request.query:
                return None
            begun.set()
            return left.wait()

        network.fault = begin
        if way == "stream":
            writing = caller.uploads.WriteUpload(metadata=caller.metadata)
            await writing.write(messages(upload_id, data, PART)[0])
            call: grpc.aio.Call = writing
        else:
            request = upload_service_pb2.SignUploadRequest(upload_id=upload_id)
            request.parts.append(named(2, data[PART:]))
            call = caller.uploads.SignUpload(request, metadata=caller.metadata)
        async with asyncio.timeout(20):
            await begun.wait()
        call.cancel()
        await asyncio.sleep(0.3)  # until the server notices
        left.set()
        await bucket.another_session(upload_id, before)
        key, session = await bucket.key_and_session(upload_id)
        known = {(one.key, one.upload_id) for one in parse_session(key, session)}
        assert {(it.key, it.session) async for it in bucket.driver.list_open()} == known
        await stream.refused()
        await bucket.driver.close()


@pytest.mark.parametrize(
    ("session", "reason"), [("another", "SUPERSEDED"), ("", "STORAGE_UNAVAILABLE")]
)
async def test_a_stream_whose_multipart_upload_is_gone_gets_the_reason(
    on_s3: Caller, bucket: Bucket, session: str, reason: str
) -> None:
    upload_id = (await on_s3.create()).upload_id
    stream = Held(on_s3, upload_id, 0, video_bytes(MIB), bytes(PART))
    key, own = await bucket.key_and_session(upload_id)
    await bucket.driver.abort(key, own)
    async with bucket.service.database() as db:
        await db.execute("update uploads set store_session = %s", (session or own,))
    assert (await stream.refused()).reason == reason
