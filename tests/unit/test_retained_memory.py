"""Content is released before the next chunk is awaited: otherwise, ten thousand idle streams would
each hold a message in memory."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable

import pytest
from mediaservice.v1 import upload_service_pb2

from media_service.rpc.request_body import body_chunks
from media_service.rpc.upload_service import write_chunks
from media_service.rpc.wire import Piece
from media_service.uploads.model import Chunk

Chunks = AsyncGenerator[Chunk, None]


def piece(raw: bytearray) -> Piece:
    return Piece(upload_service_pb2.WriteUploadRequest(), memoryview(raw))


def is_free(raw: bytearray) -> bool:
    """Whether no other object refers to these bytes: an exported array cannot be resized."""
    try:
        raw.append(0)
    except BufferError:
        return False
    return True


def of_messages(first: bytearray, rest: AsyncIterator[bytearray]) -> Chunks:
    return write_chunks(piece(first), (piece(raw) async for raw in rest))


def of_body(first: bytearray, rest: AsyncIterator[bytearray]) -> Chunks:
    data = (memoryview(raw) async for raw in rest)
    return body_chunks(memoryview(first), data, offset=0, length=None, finish=False)


@pytest.mark.parametrize("chunks_of", [of_messages, of_body])
async def test_content_is_released_before_waiting_for_the_next_chunk(
    chunks_of: Callable[[bytearray, AsyncIterator[bytearray]], Chunks],
) -> None:
    raws = [bytearray(b"first"), bytearray(b"second"), bytearray(b"third")]
    free: list[bool] = []

    async def arriving() -> AsyncIterator[bytearray]:
        for index in (1, 2):
            free.append(is_free(raws[index - 1]))
            yield raws[index]

    chunks = chunks_of(raws[0], arriving())
    seen = 0
    async for chunk in chunks:
        seen += len(chunk.data)
        del chunk
    assert seen == len(b"firstsecondthird")
    assert free[0]
