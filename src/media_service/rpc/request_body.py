"""Splits a request body into chunks of an upload, and checks it against its headers."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator

from crc32c import crc32c as crc32c_of

from media_service.errors import Reason, Unavailable
from media_service.storage.buffer import Buffer
from media_service.storage.checksums import Checksums
from media_service.uploads.acceptance import check_checksums
from media_service.uploads.model import Chunk

NONE = Checksums()
VANISH_SECONDS = 0.1


async def body_chunks(
    first: Buffer,
    rest: AsyncIterator[Buffer],
    *,
    offset: int,
    length: int | None,
    finish: bool,
    digest: Checksums = NONE,
) -> AsyncGenerator[Chunk, None]:
    """Chunks of a body that begins at `offset`. The last chunk is empty and carries `finish`.

    Raises Unavailable (INCOMPLETE_BODY) if fewer than `length` bytes arrived, and InvalidArgument
    (CHECKSUM_MISMATCH) if the body does not have the `digest`.
    """
    sha256 = hashlib.sha256() if digest.sha256 is not None else None
    crc32c, position = 0, offset
    data: Buffer | None = first
    del first
    while data is not None:
        if sha256:
            sha256.update(data)
        if digest.crc32c is not None:
            crc32c = crc32c_of(data, crc32c)
        yield Chunk(data, position)
        position += len(data)
        del data  # do not hold it while waiting for the next one
        data = await anext(rest, None)
    if length is None:
        # A disconnect first looks like the end of the body. The cancellation follows at once.
        await asyncio.sleep(VANISH_SECONDS)
    elif position - offset != length:
        raise incomplete(position - offset, length)
    check_checksums(digest, Checksums(crc32c, sha256.digest() if sha256 else None))
    yield Chunk(b"", position, finish=finish)


def incomplete(received: int, length: int) -> Unavailable:
    return Unavailable(
        Reason.INCOMPLETE_BODY, f"The body ended after {received} of {length} bytes. Send it again."
    )
