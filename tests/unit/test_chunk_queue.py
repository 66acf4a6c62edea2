"""The queue between the caller and the store."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media_service.uploads.chunk_queue import CAPACITY, ChunkQueue
from media_service.uploads.model import Chunk

FULL = Chunk(bytes(CAPACITY))
FOREVER = 3600.0
PATIENCE = 0.01


async def settle() -> None:
    """Lets every task run as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_producer_waits_while_the_queue_is_full() -> None:
    queue = ChunkQueue(PATIENCE)
    await queue.put(FULL)
    producer = asyncio.create_task(queue.put(Chunk(b"next")))
    await settle()
    assert not producer.done()
    assert queue.received == CAPACITY
    assert await queue.take(FOREVER) == [FULL]
    await producer
    assert await queue.take(FOREVER) == [Chunk(b"next")]


async def test_a_view_counts_as_its_whole_buffer() -> None:
    queue = ChunkQueue(PATIENCE)
    await queue.put(Chunk(memoryview(bytes(CAPACITY))[:1]))
    producer = asyncio.create_task(queue.put(Chunk(b"next")))
    await settle()
    assert not producer.done()
    assert queue.received == 1
    await queue.take(FOREVER)
    await producer


async def test_a_consumer_waits_while_the_queue_is_empty() -> None:
    queue = ChunkQueue(PATIENCE)
    consumer = asyncio.create_task(queue.take(FOREVER))
    await settle()
    assert not consumer.done()
    await queue.put(Chunk(b"data"))
    assert await consumer == [Chunk(b"data")]


async def test_a_consumer_waits_no_longer_than_its_timeout() -> None:
    assert await ChunkQueue(PATIENCE).take(0.001) == []


async def test_ending_the_queue_wakes_the_consumer() -> None:
    queue = ChunkQueue(PATIENCE)
    consumer = asyncio.create_task(queue.take(FOREVER))
    await settle()
    queue.end()
    assert await consumer == []


async def test_ending_the_queue_wakes_the_producer_and_drops_its_chunk() -> None:
    queue = ChunkQueue(PATIENCE)
    await queue.put(FULL)
    producer = asyncio.create_task(queue.put(Chunk(b"too late")))
    await settle()
    queue.end()
    await producer
    await queue.put(Chunk(b"later still"))
    assert await queue.take(FOREVER) == [FULL]
    assert await queue.take(FOREVER) == []
    assert queue.received == CAPACITY


async def test_only_the_first_end_of_a_queue_counts() -> None:
    queue, first = ChunkQueue(PATIENCE), ValueError("first")
    queue.end(first)
    queue.end(ValueError("second"))
    queue.end()
    assert queue.error is first


async def test_an_empty_chunk_is_passed_on() -> None:
    queue, last = ChunkQueue(PATIENCE), Chunk(b"", 5, finish=True)
    await queue.put(last)
    assert await queue.take(FOREVER) == [last]


@pytest.mark.parametrize("side", ["producer", "consumer"])
async def test_a_cancelled_waiter_loses_no_chunk(side: str) -> None:
    queue = ChunkQueue(PATIENCE)
    if side == "producer":
        await queue.put(FULL)
        waiting: asyncio.Task[object] = asyncio.create_task(queue.put(Chunk(b"never")))
    else:
        waiting = asyncio.create_task(queue.take(FOREVER))
    await settle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if side == "consumer":
        await queue.put(FULL)
    queue.end()
    assert await queue.take(FOREVER) == [FULL]


@settings(max_examples=30)
@given(st.lists(st.sampled_from([0, 1, 1000, CAPACITY // 3, CAPACITY, CAPACITY * 2]), max_size=20))
async def test_no_chunk_is_lost_and_the_capacity_is_respected(sizes: list[int]) -> None:
    queue, taken = ChunkQueue(PATIENCE), []
    data = bytes(CAPACITY * 2)

    async def produce() -> None:
        for offset, size in enumerate(sizes):
            await queue.put(Chunk(data[:size], offset))
        queue.end()

    producer = asyncio.create_task(produce())
    while chunks := await queue.take(FOREVER):
        assert sum(len(chunk.data) for chunk in chunks[:-1]) < CAPACITY
        taken += chunks
    await producer
    assert [(chunk.offset, len(chunk.data)) for chunk in taken] == list(enumerate(sizes))
    assert queue.received == sum(sizes)
