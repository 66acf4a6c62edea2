"""Concurrent parts, streams, and completions of one upload: no acknowledged byte is lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
from crc32c import crc32c as crc32c_of
from google.protobuf.duration_pb2 import Duration
from mediaservice.v1 import upload_pb2, upload_service_pb2

from tests.support.media.small_files import jpeg, video_bytes
from tests.support.rpc.parts import Put, complete, files, listed, named, put, sign, without_etag
from tests.support.rpc.server import Caller, Running, Start, refused
from tests.support.rpc.sessions import abort, write
from tests.support.stores.gcs_server import GCS_BUCKET, GcsFolder
from tests.support.tools import NO_TLS, eventually

MIB = 1 << 20
Upload = upload_pb2.Upload
Write = upload_service_pb2.WriteUploadRequest
# Reasons with which late calls are refused.
REFUSED = {
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.OUT_OF_RANGE,
}


async def test_signed_parts_without_bytes_are_listed_as_claimed(ann: Caller) -> None:
    upload_id = (await ann.create()).upload_id
    parts = [named(number, b"a" * number) for number in (1, 2, 4)]
    await sign(ann, upload_id, *parts)
    await put(ann, upload_id, 2, b"aa")
    claimed: list[upload_pb2.Part] = []
    stored: list[upload_pb2.Part] = []
    request = upload_service_pb2.ListPartsRequest(upload_id=upload_id, page_size=1)
    for _ in parts:
        page = await ann.call(ann.uploads.ListParts, request)
        claimed += page.claimed
        stored += [without_etag(part) for part in page.parts]
        request.page_token = page.next_page_token
    assert not request.page_token
    assert (stored, claimed) == ([parts[1]], [parts[0], parts[2]])


async def tried(call: Awaitable[Any]) -> Any:
    """The result; None if the call was refused."""
    try:
        return await call
    except grpc.RpcError as error:
        if error.code() not in REFUSED:
            raise
        return None


async def test_rows_agree_with_the_counted_bytes_in_any_order_of_callers(
    ann: Caller, service: Running
) -> None:
    """A stream, parts, and claims wait for each other's row locks."""
    data = jpeg()
    for _ in range(25):
        upload_id = (await ann.create()).upload_id
        await asyncio.gather(
            tried(put(ann, upload_id, 2, b"two" * 100)),
            tried(sign(ann, upload_id, *(named(n, b"x" * 1000) for n in range(3, 13)))),
            tried(ann.write([Write(upload_id=upload_id, data=data)])),
            tried(put(ann, upload_id, 1, b"one" * 100)),
        )
        async with service.database() as db:
            query = """
                select u.committed_size,
                       coalesce(sum(p.size_bytes) filter (where number < next_part), 0),
                       count(*) filter (where number < next_part and not stored)
                from uploads u left join upload_parts p on p.upload_id = u.upload_id
                where u.upload_id = %s group by u.upload_id
            """
            row = await (await db.execute(query, (upload_id,))).fetchone()
        assert row is not None
        counted, stored, behind = row
        assert (counted, behind) == (stored, 0)
        done = await tried(complete(ann, upload_id))
        if done is not None and done.state == Upload.FINISHED:
            assert len(await ann.uploaded(upload_id)) == done.committed_size_bytes


async def test_a_part_that_is_listed_while_it_is_put_is_kept(
    on_gcs: Caller, gcs: GcsFolder
) -> None:
    upload_id = (await on_gcs.create()).upload_id
    over = asyncio.Event()

    async def poll() -> None:
        while not over.is_set():
            await listed(on_gcs, upload_id)

    pollers = [asyncio.create_task(poll()) for _ in range(4)]
    parts = [video_bytes(100_000 + n) for n in range(24)]
    for at in range(0, len(parts), 8):
        await asyncio.gather(*(put(on_gcs, upload_id, n + 1, parts[n]) for n in range(at, at + 8)))
    over.set()
    await asyncio.gather(*pollers)
    assert (await complete(on_gcs, upload_id)).state == Upload.FINISHED
    assert await on_gcs.uploaded(upload_id) == b"".join(parts)


async def test_concurrent_completions_create_one_media(on_gcs: Caller, gcs: GcsFolder) -> None:
    data = jpeg()
    upload_id = (await on_gcs.create()).upload_id
    await sign(on_gcs, upload_id, named(1, data))
    await put(on_gcs, upload_id, 1, data)
    await asyncio.gather(*(complete(on_gcs, upload_id) for _ in range(6)))
    done = await on_gcs.until_upload(upload_id, lambda it: it.state != Upload.VERIFYING)
    assert done.state == Upload.FINISHED


async def test_a_refused_signature_does_not_claim_its_part_number(on_gcs: Caller) -> None:
    upload_id = (await on_gcs.create()).upload_id
    huge = upload_pb2.Part(part_number=1, size_bytes=64 * MIB, crc32c=1)
    assert (await refused(sign(on_gcs, upload_id, huge))).reason == "CHUNK_TOO_LARGE"
    await put(on_gcs, upload_id, 1, jpeg())
    assert (await complete(on_gcs, upload_id)).state == Upload.FINISHED


async def test_a_part_below_the_minimum_can_only_be_the_last(on_s3: Caller) -> None:
    data = video_bytes(6 * MIB)
    upload_id = (await on_s3.create()).upload_id
    await put(on_s3, upload_id, 1, data[: 5 * MIB])
    await put(on_s3, upload_id, 2, data[5 * MIB :])
    refusal = await refused(write(on_s3, upload_id, b"more", offset=len(data)))
    assert (refusal.reason, refusal.metadata["part_number"]) == ("PART_TOO_SMALL", "2")
    assert (await refused(put(on_s3, upload_id, 3, b"more"))).reason == "PART_TOO_SMALL"
    assert (await complete(on_s3, upload_id)).state == Upload.FINISHED
    assert await on_s3.uploaded(upload_id) == data


async def test_a_finish_with_a_contradicting_checksum_does_not_end_the_upload(
    on_s3: Caller,
) -> None:
    data = video_bytes(6 * MIB)
    upload_id = (await on_s3.create(checksums={"crc32c": crc32c_of(data)})).upload_id
    wrong = Write(upload_id=upload_id, data=data[:MIB], finish=True)
    wrong.checksums.crc32c = 1
    assert (await refused(on_s3.write([wrong]))).reason == "CHECKSUM_MISMATCH"
    kept = (await on_s3.get_upload(upload_id)).committed_size_bytes
    messages = [Write(offset=at, data=data[at : at + MIB]) for at in range(kept, len(data), MIB)]
    messages[0].upload_id = upload_id
    messages[-1].finish = True
    assert (await on_s3.write(messages)).state == Upload.FINISHED
    assert await on_s3.uploaded(upload_id) == data


async def begun(caller: Caller, service: Running, upload_id: str) -> asyncio.Task[Any]:
    """A PutPart call in flight that never finishes."""

    async def endless() -> AsyncIterator[Put]:
        message = Put(upload_id=upload_id, part_number=1)
        message.body.data = b"a" * 1000
        yield message
        await asyncio.Event().wait()

    putting = asyncio.create_task(caller.call(caller.uploads.PutPart, endless()))
    await asyncio.to_thread(eventually, lambda: any(files(service.data_dir)))
    return putting


async def test_aborting_an_upload_ends_a_part_in_flight(ann: Caller, service: Running) -> None:
    upload_id = (await ann.create()).upload_id
    putting = await begun(ann, service, upload_id)
    await abort(ann, upload_id)
    assert (await refused(putting)).reason == "UPLOAD_NOT_ACTIVE"
    await asyncio.to_thread(eventually, lambda: not files(service.data_dir))


async def test_a_resumed_stream_ends_a_part_in_flight(ann: Caller, service: Running) -> None:
    upload_id = (await ann.create()).upload_id
    putting = await begun(ann, service, upload_id)
    await write(ann, upload_id, b"b" * 500)
    assert (await refused(putting)).reason == "SUPERSEDED"


async def test_a_refused_part_does_not_end_a_stream(ann: Caller) -> None:
    upload_id = (await ann.create()).upload_id
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[Write]:
        yield Write(upload_id=upload_id, data=b"a" * 1000)
        await go_on.wait()
        yield Write(offset=1000, data=b"b" * 1000)

    streaming = asyncio.create_task(ann.call(ann.uploads.WriteUpload, slow()))
    await ann.until_upload(upload_id, lambda it: it.committed_size_bytes == 1000)
    assert (await refused(put(ann, upload_id, 1, b"c"))).reason == "PART_CONFLICT"
    assert (await refused(sign(ann, upload_id, named(1, b"c")))).reason == "PART_CONFLICT"
    assert await listed(ann, upload_id) == [named(1, b"a" * 1000)]  # the bytes committed so far
    go_on.set()
    assert (await streaming).committed_size_bytes == 2000
    (part,) = await listed(ann, upload_id)
    assert part.size_bytes == 2000


async def test_an_upload_does_not_expire_before_its_signed_urls(start: Start) -> None:
    ann = await (await start(upload_expiry="1h")).caller("ann")
    upload_id = (await ann.create()).upload_id
    request = upload_service_pb2.SignUploadRequest(
        upload_id=upload_id, parts=[named(2, b"later")], ttl=Duration(seconds=86400)
    )
    signed = await ann.call(ann.uploads.SignUpload, request)
    await put(ann, upload_id, 1, b"now")  # which may extend the expiry, but not shorten it
    upload = await ann.get_upload(upload_id)
    assert upload.expire_time.seconds > signed.parts[0].expire_time.seconds


async def test_two_servers_accept_parts_of_one_upload(start: Start, service: Running) -> None:
    """Both servers store to one directory. They get different bytes of one size under the same part
    numbers; the first part to be stored wins, and is never overwritten."""
    callers = [await (await start()).caller("ann"), await service.caller("ann")]
    for _ in range(5):
        rivals = {
            (n, mark): video_bytes(MIB)[:-2] + bytes([n, mark])
            for n in range(1, 7)
            for mark in (0, 1)
        }
        upload_id = (await callers[0].create()).upload_id
        await asyncio.gather(
            *(
                tried(put(callers[(n + mark + again) % 2], upload_id, n, part))
                for again in (0, 1)
                for (n, mark), part in rivals.items()
            )
        )
        parts = await listed(callers[1], upload_id)
        assert [part.part_number for part in parts] == list(range(1, 7))
        await complete(callers[1], upload_id)
        content = await callers[0].uploaded(upload_id)
        for at, part in enumerate(parts):
            assert crc32c_of(content[at * MIB : (at + 1) * MIB]) == part.crc32c


async def test_parts_continue_after_a_stream_that_followed_parts(
    ann: Caller, service: Running
) -> None:
    data = video_bytes(9 * MIB)
    upload_id = (await ann.create(size_bytes=len(data))).upload_id
    await put(ann, upload_id, 1, data[: 2 * MIB])

    async def endless() -> AsyncIterator[Put]:
        message = Put(upload_id=upload_id, part_number=2, size_bytes=2 * MIB)
        message.body.data = b"never counted" * 100_000
        yield message
        await asyncio.Event().wait()

    putting = asyncio.create_task(ann.call(ann.uploads.PutPart, endless()))
    await asyncio.to_thread(eventually, lambda: written(service.data_dir) > 2 * MIB)
    await write(ann, upload_id, data[2 * MIB : 3 * MIB], offset=2 * MIB)
    assert (await refused(putting)).reason == "SUPERSEDED"
    for number in (5, 3, 4):
        at = (2 * number - 3) * MIB
        await put(ann, upload_id, number, data[at : at + 2 * MIB])
    assert (await complete(ann, upload_id)).state == Upload.FINISHED
    assert await ann.uploaded(upload_id) == data


def written(folder: Path) -> int:
    sizes = [0]
    for file in files(folder):
        with suppress(FileNotFoundError):  # it was just renamed
            sizes.append(file.stat().st_size)
    return max(sizes)


async def test_parts_of_an_ended_upload_are_removed(working: Running) -> None:
    ann = await working.caller("ann")
    upload_id = (await ann.create()).upload_id
    for number in (1, 3):
        await put(ann, upload_id, number, b"a" * 1000)
    assert files(working.data_dir)
    await abort(ann, upload_id)
    await asyncio.to_thread(eventually, lambda: not parts_of(working.data_dir))


def parts_of(folder: Path) -> list[Path]:
    """All stored parts of an open blob."""
    return list((folder / "raw/parts/blobs").glob("*/*"))


async def test_a_put_part_fulfills_its_signed_claim(on_gcs: Caller, gcs: GcsFolder) -> None:
    """PutPart and the signed URL run concurrently, in either order."""
    data = jpeg()
    upload_id = (await on_gcs.create()).upload_id
    await asyncio.gather(
        sign(on_gcs, upload_id, named(1, data)),
        put(on_gcs, upload_id, 1, data),
        put(on_gcs, upload_id, 1, data),
    )
    assert await listed(on_gcs, upload_id) == [named(1, data)]
    assert (await complete(on_gcs, upload_id)).state == Upload.FINISHED
    parts = f"{gcs.endpoint}/storage/v1/b/{GCS_BUCKET}/o?prefix={gcs.prefix}/parts/"
    left = httpx.get(parts, trust_env=False, verify=NO_TLS)
    assert left.json().get("items", []) == []
