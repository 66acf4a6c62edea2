"""Parts signed without a known size or checksum. They are replaceable until the upload completes,
and under any concurrency the recorded checksums match the stored bytes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
from crc32c import crc32c as crc32c_of
from mediaservice.v1 import upload_pb2, upload_service_pb2

from tests.support.long_form import examples
from tests.support.media.small_files import video_bytes
from tests.support.rpc.parts import (
    Part,
    complete,
    files,
    listed,
    named,
    put,
    put_signed,
    sign,
)
from tests.support.rpc.server import Caller, Running, refused
from tests.support.rpc.sessions import abort, write
from tests.support.tools import eventually

MIB = 1 << 20
Upload = upload_pb2.Upload
PutSigned = upload_service_pb2.PutSignedRequest
Write = upload_service_pb2.WriteUploadRequest
# S3 accepts a smaller part only as the last one. The others take several messages as well.
S3_SIZE = 5 * MIB
SIZES = {"ann": MIB + 100, "on_gcs": MIB + 100, "on_s3": S3_SIZE}


@pytest.fixture(params=SIZES, ids=["disk", "gcs", "s3"])
def caller(request: pytest.FixtureRequest) -> Caller:
    """A caller on each kind of store."""
    found: Caller = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def size(request: pytest.FixtureRequest, caller: Caller) -> int:
    """The size of a part that need not be the last one on the store of `caller`."""
    return SIZES[request.node.callspec.params["caller"]]


@pytest.fixture
def rounds(size: int) -> int:
    """How often a race is run. Large parts take long."""
    return examples(2, 6) if size == S3_SIZE else 6


VIDEO = video_bytes(S3_SIZE + 100)


def content(mark: int, size: int) -> bytes:
    """Bytes that depend only on the mark."""
    return VIDEO[: size - 1] + bytes([mark])


async def link(caller: Caller, upload_id: str, number: int, **known: Any) -> str:
    """The token of a signed URL for one part."""
    part = Part(part_number=number, **known)
    (signed,) = (await sign(caller, upload_id, part)).parts
    assert not signed.headers
    return token_of(signed.url)


def token_of(url: str) -> str:
    return urlsplit(url).path.removeprefix("/v1/signed/")


async def parts_of(caller: Caller, upload_id: str) -> Sequence[Part]:
    request = upload_service_pb2.ListPartsRequest(upload_id=upload_id)
    found: Sequence[Part] = (await caller.call(caller.uploads.ListParts, request)).parts
    return found


async def outcome(call: Any) -> Any:
    try:
        return await call
    except grpc.RpcError as error:
        return error


async def test_a_part_without_a_checksum_is_replaceable_until_the_upload_completes(
    caller: Caller,
    size: int,
) -> None:
    upload_id = (await caller.create()).upload_id
    tokens = [await link(caller, upload_id, number) for number in (1, 2)]
    etags = set()
    for mark in (1, 2, 3):
        stored = await put_signed(caller, tokens[0], content(mark, size + mark))
        assert await parts_of(caller, upload_id) == [stored]
        etags.add(stored.etag)
    assert len(etags) == 3
    await put_signed(caller, tokens[1], b"end")
    wanted = content(3, size + 3) + b"end"
    assert [part.size_bytes for part in await listed(caller, upload_id)] == [size + 3, 3]
    assert (await caller.get_upload(upload_id)).committed_size_bytes == 0
    done = await complete(caller, upload_id)
    assert (done.state, done.committed_size_bytes) == (Upload.FINISHED, len(wanted))
    assert done.media.checksums.crc32c == crc32c_of(wanted)
    assert await caller.uploaded(upload_id) == wanted
    assert (await refused(put_signed(caller, tokens[0], b"late"))).reason == "LINK_INVALID"
    assert await caller.uploaded(upload_id) == wanted


async def test_a_whole_file_can_be_signed_without_a_checksum(caller: Caller) -> None:
    upload_id = (await caller.create(max_size_bytes=100)).upload_id
    (signed,) = (await sign(caller, upload_id)).parts
    token = token_of(signed.url)
    refusal = await refused(put_signed(caller, token, content(1, 101)))
    assert (refusal.reason, refusal.metadata["max_size_bytes"]) == ("SIZE_EXCEEDED", "100")
    data = video_bytes(100)
    await put_signed(caller, token, data)
    assert (await complete(caller, upload_id)).state == Upload.FINISHED
    assert await caller.uploaded(upload_id) == data


async def test_a_signed_url_enforces_a_declared_size_or_checksum(ann: Caller) -> None:
    upload_id = (await ann.create()).upload_id
    sized = await link(ann, upload_id, 1, size_bytes=3)
    assert (await refused(put_signed(ann, sized, b"four"))).reason == "SIZE_EXCEEDED"
    assert (await refused(put_signed(ann, sized, b"12"))).reason == "INCOMPLETE_BODY"
    await put_signed(ann, sized, b"abc")
    await put_signed(ann, sized, b"xyz")
    summed = await link(ann, upload_id, 2, crc32c=crc32c_of(b"abc"))
    assert (await refused(put_signed(ann, summed, b"abd"))).reason == "CHECKSUM_MISMATCH"
    await put_signed(ann, summed, b"abc")
    assert await listed(ann, upload_id) == [named(1, b"xyz"), named(2, b"abc")]
    for known in ({"size_bytes": 0}, {"size_bytes": 0, "crc32c": 0}):
        refusal = await refused(link(ann, upload_id, 3, **known))
        assert refusal.reason == "INVALID_FIELD"


async def test_completing_an_upload_compares_etags(ann: Caller) -> None:
    upload_id = (await ann.create()).upload_id
    token = await link(ann, upload_id, 1)
    first = await put_signed(ann, token, content(1, 1000))
    second = await put_signed(ann, token, content(2, 1000))
    for stale in (first, Part(part_number=1, etag=first.etag)):
        refusal = await refused(complete(ann, upload_id, [stale]))
        assert refusal.reason == "PART_CONFLICT"
    assert (await ann.get_upload(upload_id)).state == Upload.ACTIVE
    seen = Part(part_number=1, etag=second.etag)
    assert (await complete(ann, upload_id, [seen])).state == Upload.FINISHED


async def test_a_final_part_is_not_replaced(caller: Caller, size: int) -> None:
    upload_id = (await caller.create()).upload_id
    tokens = [await link(caller, upload_id, number) for number in (1, 2)]
    await put(caller, upload_id, 1, content(1, size))
    refusal = await refused(put_signed(caller, tokens[0], content(2, size)))
    assert refusal.reason == "PART_CONFLICT"
    await put_signed(caller, tokens[0], content(1, size))
    # A final part does not replace one that only its URLs may replace either.
    await put_signed(caller, tokens[1], b"one")
    assert (await refused(put(caller, upload_id, 2, b"two"))).reason == "PART_CONFLICT"
    bound = Part(part_number=2, size_bytes=3, crc32c=crc32c_of(b"two"))
    assert (await refused(sign(caller, upload_id, bound))).reason == "PART_CONFLICT"
    assert await listed(caller, upload_id) == [named(1, content(1, size)), named(2, b"one")]
    assert (await complete(caller, upload_id)).state == Upload.FINISHED
    assert await caller.uploaded(upload_id) == content(1, size) + b"one"


async def test_replaced_bytes_are_removed(ann: Caller, service: Running) -> None:
    upload_id = (await ann.create()).upload_id
    token = await link(ann, upload_id, 1)
    for mark in range(5):
        await put_signed(ann, token, content(mark, MIB))
    assert len(files(service.data_dir)) == 1
    await abort(ann, upload_id)
    assert (await refused(put_signed(ann, token, b"late"))).reason == "LINK_INVALID"


async def test_concurrent_replacements_leave_the_bytes_of_one(
    caller: Caller, size: int, rounds: int
) -> None:
    """On S3, where storing overwrites, some may be refused, but never all."""
    for _ in range(rounds):
        upload_id = (await caller.create()).upload_id
        token = await link(caller, upload_id, 1)
        rivals = [content(mark, size) for mark in (1, 1, 2, 3)]
        ends = await asyncio.gather(*(outcome(put_signed(caller, token, data)) for data in rivals))
        assert any(isinstance(end, Part) for end in ends)
        for end in ends:
            assert isinstance(end, Part) or end.code() == grpc.StatusCode.ALREADY_EXISTS, end
        (part,) = await listed(caller, upload_id)
        done = await complete(caller, upload_id)
        assert done.state == Upload.FINISHED
        stored = await caller.uploaded(upload_id)
        assert stored in rivals
        assert named(1, stored) == part
        assert done.media.checksums.crc32c == crc32c_of(stored)


async def test_a_concurrent_replacement_and_completion_agree(
    caller: Caller, size: int, rounds: int
) -> None:
    for _ in range(rounds):
        upload_id = (await caller.create()).upload_id
        token = await link(caller, upload_id, 1)
        await put_signed(caller, token, content(1, size))
        replaced, done = await asyncio.gather(
            outcome(put_signed(caller, token, content(2, size))),
            outcome(complete(caller, upload_id)),
        )
        if not isinstance(done, Upload):  # between discarding the old bytes and storing new
            assert done.code() == grpc.StatusCode.FAILED_PRECONDITION
            assert isinstance(replaced, Part)
            done = await complete(caller, upload_id)
        assert done.state == Upload.FINISHED
        stored = await caller.uploaded(upload_id)
        assert stored in (content(1, size), content(2, size))
        assert done.media.checksums.crc32c == crc32c_of(stored)
        # Bytes acknowledged before the completion are in the media.
        if not isinstance(replaced, Part):
            assert stored == content(1, size)


async def test_a_stream_invalidates_signed_urls_and_does_not_overtake_their_parts(
    caller: Caller,
    size: int,
) -> None:
    upload_id = (await caller.create()).upload_id
    token = await link(caller, upload_id, 1)
    data = content(1, size)
    messages = [Write(offset=at, data=data[at : at + MIB]) for at in range(0, size, MIB)]
    messages[0].upload_id = upload_id
    await caller.write(messages)
    assert (await refused(put_signed(caller, token, b"late"))).reason == "LINK_INVALID"
    token = await link(caller, upload_id, 2)
    await put_signed(caller, token, content(3, size))
    refusal = await refused(write(caller, upload_id, b"more", offset=size))
    assert refusal.reason == "PARTS_OUTSTANDING"
    await put_signed(caller, token, content(4, size))
    assert (await complete(caller, upload_id)).state == Upload.FINISHED
    assert await caller.uploaded(upload_id) == content(1, size) + content(4, size)


async def test_a_replacement_while_a_stream_starts_is_stored_or_refused(
    ann: Caller,
) -> None:
    for _ in range(8):
        upload_id = (await ann.create()).upload_id
        token = await link(ann, upload_id, 1)
        replaced, written = await asyncio.gather(
            outcome(put_signed(ann, token, content(1, MIB))),
            outcome(ann.write([Write(upload_id=upload_id, data=content(2, MIB))])),
        )
        stored = await listed(ann, upload_id)
        acknowledged = [content(1, MIB)] if isinstance(replaced, Part) else []
        acknowledged += [content(2, MIB)] if isinstance(written, Upload) else []
        assert len(acknowledged) == 1
        assert stored == [named(1, acknowledged[0])]


async def test_an_incomplete_body_replaces_nothing(ann: Caller, service: Running) -> None:
    upload_id = (await ann.create()).upload_id
    token = await link(ann, upload_id, 1)
    first = await put_signed(ann, token, content(1, 1000))

    async def endless() -> AsyncIterator[PutSigned]:
        message = PutSigned(token=token)
        message.body.data = b"a" * 1000
        yield message
        await asyncio.Event().wait()

    before = len(files(service.data_dir))
    putting = asyncio.create_task(outcome(ann.uploads.PutSigned(endless())))
    await asyncio.to_thread(eventually, lambda: len(files(service.data_dir)) > before)
    putting.cancel()
    await asyncio.to_thread(eventually, lambda: len(files(service.data_dir)) == before)
    assert await parts_of(ann, upload_id) == [first]
    assert (await complete(ann, upload_id)).state == Upload.FINISHED
    assert await ann.uploaded(upload_id) == content(1, 1000)


async def test_a_replaceable_part_between_final_parts_is_committed_on_completion(
    caller: Caller,
    size: int,
) -> None:
    upload_id = (await caller.create(size_bytes=3 * size)).upload_id
    token = await link(caller, upload_id, 2)
    await put(caller, upload_id, 3, content(3, size))
    await put_signed(caller, token, content(9, size))
    await put(caller, upload_id, 1, content(1, size))
    upload = await caller.get_upload(upload_id)
    assert (upload.committed_size_bytes, upload.next_part_number) == (size, 2)
    assert (await refused(put_signed(caller, token, content(2, size + 1)))).reason in {
        "SIZE_EXCEEDED",
        "CHUNK_TOO_LARGE",
    }
    await put_signed(caller, token, content(2, size))
    assert (await complete(caller, upload_id)).state == Upload.FINISHED
    assert await caller.uploaded(upload_id) == content(1, size) + content(2, size) + content(
        3, size
    )
