"""Numbered parts: any order, concurrent, final once stored, and mixed with streams."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import grpc
import pytest
from crc32c import crc32c as crc32c_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mediaservice.v1 import upload_service_pb2

from tests.support.long_form import examples
from tests.support.media.small_files import jpeg, video_bytes
from tests.support.rpc.parts import (
    MIB,
    Part,
    Put,
    Upload,
    complete,
    files,
    listed,
    named,
    put,
)
from tests.support.rpc.server import Caller, Refusal, Running, Start, refused
from tests.support.rpc.sessions import abort, write
from tests.support.tools import eventually

FEW = settings(
    max_examples=examples(8, 40), suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def cut(data: bytes, count: int) -> list[bytes]:
    size = -(-len(data) // count)
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [None, 0], ids=["with a size", "without a size"])
async def test_parts_are_stored_concurrently_in_any_order(ann: Caller, size: int | None) -> None:
    data = video_bytes(8 * MIB + 12345)
    upload = await ann.create(size_bytes=len(data))
    assert upload.next_part_number == 1
    parts = cut(data, 9)
    stored = await asyncio.gather(
        *(
            put(ann, upload.upload_id, number, parts[number - 1], size=size)
            for number in range(9, 0, -1)
        )
    )
    assert sorted(part.part_number for part in stored) == list(range(1, 10))
    now = await ann.get_upload(upload.upload_id)
    assert (now.committed_size_bytes, now.next_part_number) == (len(data), 10)
    assert await listed(ann, upload.upload_id, page_size=4) == [
        named(number, part) for number, part in enumerate(parts, 1)
    ]
    done = await complete(ann, upload.upload_id)
    assert done.state == Upload.FINISHED
    assert done.media.checksums.crc32c == crc32c_of(data)
    assert await ann.content(upload.media_id) == data


async def test_a_declared_sha256_is_checked_by_reading_the_parts_back(working: Running) -> None:
    ann = await working.caller("ann")
    data = video_bytes(3 * MIB)
    for declared, state in (
        (hashlib.sha256(data).digest(), Upload.FINISHED),
        (hashlib.sha256(b"other").digest(), Upload.FAILED),
    ):
        upload_id = (await ann.create()).upload_id
        for number, part in enumerate(cut(data, 3), 1):
            await put(ann, upload_id, number, part)
        begun = await complete(ann, upload_id, sha256=declared)
        assert begun.state in {Upload.VERIFYING, state}
        ended = await ann.until_upload(upload_id, lambda it: it.state != Upload.VERIFYING)
        assert ended.state == state


async def test_repeating_a_part_with_the_same_bytes_succeeds(ann: Caller) -> None:
    data = video_bytes(MIB)
    upload_id = (await ann.create()).upload_id
    first = await put(ann, upload_id, 1, data)
    assert await put(ann, upload_id, 1, data) == first == named(1, data)
    assert (await ann.get_upload(upload_id)).committed_size_bytes == len(data)


async def test_other_bytes_under_a_used_part_number_are_refused(ann: Caller) -> None:
    upload_id = (await ann.create()).upload_id
    await put(ann, upload_id, 2, b"a" * 1000)
    for other in (b"b" * 1000, b"a" * 999):
        refusal = await refused(put(ann, upload_id, 2, other))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "PART_CONFLICT")
        assert refusal.metadata["part_number"] == "2"
    assert await listed(ann, upload_id) == [named(2, b"a" * 1000)]


async def test_a_part_must_have_its_declared_size(ann: Caller) -> None:
    data = video_bytes(3 * MIB)
    upload_id = (await ann.create()).upload_id
    for number, part in enumerate(cut(data, 3), 1):
        more = await refused(put(ann, upload_id, number, part, size=MIB - 1))
        assert (more.code, more.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "SIZE_EXCEEDED")
        less = await refused(put(ann, upload_id, number, part, size=MIB + 1))
        assert (less.code, less.reason) == (grpc.StatusCode.UNAVAILABLE, "INCOMPLETE_BODY")
        assert len(await listed(ann, upload_id)) == number - 1
        await put(ann, upload_id, number, part)
    await complete(ann, upload_id)
    assert await ann.uploaded(upload_id) == data


@pytest.mark.parametrize("more", [0, 1], ids=["of one size", "of different sizes"])
async def test_one_of_many_concurrent_puts_of_a_part_number_wins(ann: Caller, more: int) -> None:
    upload_id = (await ann.create()).upload_id
    rivals = [video_bytes(MIB + n * more)[:-1] + bytes([n]) for n in range(4)] * 2

    async def attempt(data: bytes) -> Part | Refusal:
        try:
            return await put(ann, upload_id, 1, data)
        except grpc.RpcError as error:
            return Refusal(error.code(), "", {}, [], {}, "")

    results = await asyncio.gather(*(attempt(data) for data in rivals))
    stored = [part for part in results if isinstance(part, Part)]
    assert len({part.crc32c for part in stored}) == 1
    (part,) = await listed(ann, upload_id)
    assert part in stored
    await complete(ann, upload_id)
    assert crc32c_of(await ann.uploaded(upload_id)) == part.crc32c


@pytest.mark.parametrize("number", [0, -1, 10_001])
async def test_part_numbers_are_from_1_to_10000(ann: Caller, number: int) -> None:
    upload_id = (await ann.create()).upload_id
    refusal = await refused(put(ann, upload_id, number, b"a"))
    assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", ["part_number"])
    await put(ann, upload_id, 10_000, b"a")


async def test_completing_names_the_parts_that_are_missing(ann: Caller) -> None:
    upload_id = (await ann.create()).upload_id
    parts = cut(video_bytes(9000), 9)
    for number in (2, 3, 6, 9):
        await put(ann, upload_id, number, parts[number - 1])
    refusal = await refused(complete(ann, upload_id))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "UPLOAD_INCOMPLETE",
    )
    assert refusal.metadata["missing_parts"] == "1,4-5,7-8"
    wanted = [named(number, parts[number - 1]) for number in range(1, 10)]
    refusal = await refused(complete(ann, upload_id, wanted))
    assert refusal.metadata["missing_parts"] == "1,4-5,7-8"
    for number in (1, 4, 5, 7, 8):
        await put(ann, upload_id, number, parts[number - 1])
    assert (await complete(ann, upload_id, wanted)).state == Upload.FINISHED
    assert await ann.uploaded(upload_id) == b"".join(parts)


async def test_the_list_of_parts_must_match_the_stored_parts(ann: Caller) -> None:
    upload_id = (await ann.create()).upload_id
    first, second = jpeg(), b"more"
    await put(ann, upload_id, 1, first)
    await put(ann, upload_id, 2, second)
    refusal = await refused(complete(ann, upload_id, [named(1, first)]))
    assert (refusal.reason, refusal.metadata["part_number"]) == ("PART_CONFLICT", "2")
    refusal = await refused(complete(ann, upload_id, [named(1, first), named(2, b"mort")]))
    assert (refusal.reason, refusal.metadata["part_number"]) == ("PART_CONFLICT", "2")
    refusal = await refused(complete(ann, upload_id, [named(1, first), named(1, first)]))
    assert refusal.reason in {"INVALID_FIELD", "PART_CONFLICT"}
    refusal = await refused(
        complete(ann, upload_id, [named(1, first), named(2, second), named(3, b"x")])
    )
    assert refusal.metadata["missing_parts"] == "3"
    # Part numbers alone are enough.
    done = await complete(ann, upload_id, [Part(part_number=1), Part(part_number=2)])
    assert done.state == Upload.FINISHED
    assert await complete(ann, upload_id) == done


async def test_a_stream_does_not_overtake_parts_behind_a_gap(ann: Caller) -> None:
    data = video_bytes(5000)
    upload_id = (await ann.create()).upload_id
    parts = cut(data, 5)
    await put(ann, upload_id, 1, parts[0])
    await put(ann, upload_id, 3, parts[2])
    refusal = await refused(write(ann, upload_id, parts[1], offset=1000))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "PARTS_OUTSTANDING",
    )
    assert (refusal.metadata["missing_parts"], refusal.metadata["committed_size_bytes"]) == (
        "2",
        "1000",
    )
    await put(ann, upload_id, 2, parts[1])
    now = await write(ann, upload_id, parts[3], offset=3000)
    assert now.committed_size_bytes == 4000
    refusal = await refused(put(ann, upload_id, now.next_part_number - 1, parts[4]))
    assert refusal.reason == "PART_CONFLICT"
    assert refusal.metadata["next_part_number"] == str(now.next_part_number)
    await put(ann, upload_id, now.next_part_number, parts[4])
    assert (await complete(ann, upload_id)).state == Upload.FINISHED
    assert await ann.uploaded(upload_id) == data


async def test_a_part_supersedes_a_stream(ann: Caller) -> None:
    upload_id = (await ann.create()).upload_id
    sent = asyncio.Event()

    async def endless() -> AsyncIterator[upload_service_pb2.WriteUploadRequest]:
        yield upload_service_pb2.WriteUploadRequest(upload_id=upload_id, data=b"a" * 1000)
        sent.set()
        await asyncio.Event().wait()

    streaming = asyncio.create_task(ann.call(ann.uploads.WriteUpload, endless()))
    await sent.wait()
    await ann.until_upload(upload_id, lambda it: it.committed_size_bytes == 1000)
    number = (await ann.get_upload(upload_id)).next_part_number
    await put(ann, upload_id, number, b"b" * 1000)
    refusal = await refused(streaming)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "SUPERSEDED")
    assert (await ann.get_upload(upload_id)).committed_size_bytes == 2000


async def test_committed_bytes_of_an_unfinished_stream_become_a_part(ann: Caller) -> None:
    upload_id = (await ann.create()).upload_id
    data = video_bytes(3 * MIB)
    sent = asyncio.Event()

    async def endless() -> AsyncIterator[upload_service_pb2.WriteUploadRequest]:
        yield upload_service_pb2.WriteUploadRequest(upload_id=upload_id, data=data[:MIB])
        sent.set()
        await asyncio.Event().wait()

    streaming = asyncio.create_task(ann.call(ann.uploads.WriteUpload, endless()))
    await sent.wait()
    await ann.until_upload(upload_id, lambda it: it.committed_size_bytes == MIB)
    assert await listed(ann, upload_id) == [named(1, data[:MIB])]
    await put(ann, upload_id, 2, data[MIB:])
    assert (await refused(streaming)).reason == "SUPERSEDED"
    parts = await listed(ann, upload_id)
    assert parts == [named(1, data[:MIB]), named(2, data[MIB:])]
    assert (await complete(ann, upload_id, parts)).state == Upload.FINISHED
    assert await ann.uploaded(upload_id) == data


async def test_a_stream_supersedes_a_part(ann: Caller, service: Running) -> None:
    upload_id = (await ann.create()).upload_id
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[Put]:
        message = Put(upload_id=upload_id, part_number=1)
        message.body.data = b"a" * 1000
        yield message
        await go_on.wait()

    putting = asyncio.create_task(ann.call(ann.uploads.PutPart, slow()))
    await asyncio.to_thread(eventually, lambda: any(files(service.data_dir)))
    assert (await write(ann, upload_id, b"b" * 500)).committed_size_bytes == 500
    go_on.set()
    assert (await refused(putting)).reason == "SUPERSEDED"
    assert (await ann.get_upload(upload_id)).committed_size_bytes == 500


async def test_a_part_whose_sender_disconnects_leaves_no_bytes(
    ann: Caller, service: Running
) -> None:
    upload_id = (await ann.create()).upload_id

    async def breaking() -> AsyncIterator[Put]:
        message = Put(upload_id=upload_id, part_number=1)
        message.body.data = b"a" * MIB
        yield message
        await asyncio.Event().wait()

    call = ann.uploads.PutPart(breaking(), metadata=ann.metadata)
    await asyncio.to_thread(eventually, lambda: any(files(service.data_dir)))
    call.cancel()
    await asyncio.to_thread(eventually, lambda: not files(service.data_dir))
    assert await listed(ann, upload_id) == []
    # The part number is still free.
    await put(ann, upload_id, 1, b"other")


async def test_a_part_with_a_wrong_checksum_leaves_no_bytes(ann: Caller, service: Running) -> None:
    upload_id = (await ann.create()).upload_id
    refusal = await refused(put(ann, upload_id, 1, b"abc", ("content-digest", "crc32c=:AAAAAA==:")))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CHECKSUM_MISMATCH")
    assert files(service.data_dir) == []
    await put(ann, upload_id, 1, b"abd")


async def test_an_empty_part_is_refused(ann: Caller) -> None:
    upload_id = (await ann.create()).upload_id
    assert (await refused(put(ann, upload_id, 1, b""))).reason == "FILE_EMPTY"


async def test_parts_cannot_exceed_the_declared_size_together(ann: Caller) -> None:
    upload_id = (await ann.create(size_bytes=2500)).upload_id
    await put(ann, upload_id, 1, b"a" * 1000)
    await put(ann, upload_id, 3, b"c" * 1000)
    refusal = await refused(put(ann, upload_id, 2, b"b" * 1000))
    assert (refusal.reason, refusal.headers["x-http-status"]) == ("SIZE_EXCEEDED", "413")
    refusal = await refused(put(ann, upload_id, 2, b"b" * 3000))
    assert refusal.reason == "SIZE_EXCEEDED"
    await put(ann, upload_id, 2, b"b" * 500)


async def test_parts_cannot_exceed_the_largest_file_size(start: Start) -> None:
    service = await start(max_upload_size="10k")
    ann = await service.caller("ann")
    upload = await ann.create()
    assert upload.max_part_size_bytes == 10240
    await put(ann, upload.upload_id, 1, b"a" * 10000)
    assert (await refused(put(ann, upload.upload_id, 2, b"b" * 1000))).reason == "FILE_TOO_LARGE"
    assert (await refused(put(ann, upload.upload_id, 2, b"b" * 11000))).reason == "FILE_TOO_LARGE"


async def test_an_ended_upload_accepts_no_parts(ann: Caller) -> None:
    data = jpeg()
    finished, aborted = [(await ann.create()).upload_id for _ in range(2)]
    await put(ann, finished, 1, data)
    await complete(ann, finished)
    await abort(ann, aborted)
    for upload_id in (finished, aborted):
        refusal = await refused(put(ann, upload_id, 2, data))
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "UPLOAD_NOT_ACTIVE",
        )


async def test_a_part_counts_toward_the_stream_limit(start: Start) -> None:
    service = await start(max_streams="1")
    ann = await service.caller("ann")
    upload_id = (await ann.create()).upload_id
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[Put]:
        message = Put(upload_id=upload_id, part_number=1)
        message.body.data = b"a" * 1000
        yield message
        await go_on.wait()

    putting = asyncio.create_task(ann.call(ann.uploads.PutPart, slow()))
    await asyncio.to_thread(eventually, lambda: any(files(service.data_dir)))
    refusal = await refused(put(ann, upload_id, 2, b"b"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SERVER_BUSY")
    go_on.set()
    await putting
    await put(ann, upload_id, 2, b"b")


async def test_parts_of_another_owner_do_not_exist(ann: Caller, bob: Caller) -> None:
    upload_id = (await ann.create()).upload_id
    await put(ann, upload_id, 1, b"a")
    assert (await refused(put(bob, upload_id, 2, b"b"))).reason == "UPLOAD_NOT_FOUND"
    assert (await refused(listed(bob, upload_id))).reason == "UPLOAD_NOT_FOUND"


STEPS = st.lists(
    st.tuples(st.sampled_from(["stream", "parts", "again"]), st.integers(1, 4)),
    min_size=1,
    max_size=6,
)


@FEW
@given(STEPS)
async def test_an_upload_accepts_streams_and_parts_in_any_sequence(
    ann: Caller, steps: list[tuple[str, int]]
) -> None:
    upload = await ann.create()
    data, last = jpeg(), None
    upload_id = upload.upload_id
    await put(ann, upload_id, 1, data)
    for method, count in steps:
        now = await ann.get_upload(upload_id)
        assert now.committed_size_bytes == len(data)
        new = [video_bytes(700 + n) for n in range(count)]
        if method == "stream":
            for piece in new:
                await write(ann, upload_id, piece, offset=len(data))
                data += piece
            last = None
        elif method == "parts":
            numbers = [now.next_part_number + n for n in range(count)]
            await asyncio.gather(
                *(
                    put(ann, upload_id, number, piece)
                    for number, piece in reversed(list(zip(numbers, new, strict=True)))
                )
            )
            data += b"".join(new)
            last = numbers[-1], new[-1]
        elif last:
            await put(ann, upload_id, *last)
    done = await complete(ann, upload_id)
    assert done.media.checksums.crc32c == crc32c_of(data)
    assert await ann.uploaded(upload_id) == data
