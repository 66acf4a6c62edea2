"""A request body as chunks, checked against its headers."""

import hashlib
from collections.abc import AsyncIterator

import pytest
from crc32c import crc32c as crc32c_of
from hypothesis import given
from hypothesis import strategies as st

from media_service.errors import InvalidArgument, Reason, Unavailable
from media_service.rpc.request_body import body_chunks
from media_service.storage.checksums import Checksums
from media_service.uploads.model import Chunk


async def stream(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def chunks(*pieces: bytes, **options: object) -> list[Chunk]:
    first, *rest = pieces
    settings = {"offset": 0, "length": None, "finish": True} | options
    return [c async for c in body_chunks(first, stream(*rest), **settings)]  # type: ignore[arg-type]


def checksums(data: bytes) -> Checksums:
    return Checksums(crc32c_of(data), hashlib.sha256(data).digest())


@given(st.lists(st.binary(max_size=50), min_size=1), st.integers(0, 1000), st.booleans())
async def test_a_body_is_chunked_in_order_from_its_offset(
    pieces: list[bytes], offset: int, finish: bool
) -> None:
    data = b"".join(pieces)
    *body, last = await chunks(
        *pieces, offset=offset, length=len(data), finish=finish, digest=checksums(data)
    )
    assert b"".join(chunk.data for chunk in body) == data
    position = offset
    for chunk in body:
        assert (chunk.offset, chunk.finish) == (position, False)
        position += len(chunk.data)
    assert last == Chunk(b"", position, finish=finish)


@pytest.mark.parametrize("length", [5, 3, 0])
async def test_a_body_of_another_length_is_incomplete(length: int) -> None:
    with pytest.raises(Unavailable, match=f"after 4 of {length} bytes") as caught:
        await chunks(b"ab", b"cd", length=length, offset=100)
    assert caught.value.reason is Reason.INCOMPLETE_BODY


async def test_a_body_without_a_declared_length_has_any_length() -> None:
    assert len(await chunks(b"ab", b"cd")) == 3


@pytest.mark.parametrize(
    "digest", [Checksums(crc32c=1), Checksums(sha256=bytes(32)), Checksums(1, bytes(32))]
)
async def test_a_wrong_digest_is_refused_before_the_last_chunk(digest: Checksums) -> None:
    found = body_chunks(b"body", stream(), offset=0, length=4, finish=True, digest=digest)
    assert await anext(found) == Chunk(b"body", 0)
    with pytest.raises(InvalidArgument) as caught:
        await anext(found)
    assert caught.value.reason is Reason.CHECKSUM_MISMATCH


async def test_an_error_in_the_body_is_raised_by_its_chunks() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"some"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        [c async for c in body_chunks(b"", broken(), offset=0, length=None, finish=True)]
