"""What lies between the caller and the store."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media_service.uploads.intake import CAPACITY, Intake
from media_service.uploads.model import Chunk

FULL = Chunk(bytes(CAPACITY))
FOREVER = 3600.0


async def settle() -> None:
    """Lets every task run as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_producer_waits_while_it_is_full() -> None:
    intake = Intake()
    await intake.put(FULL)
    producer = asyncio.create_task(intake.put(Chunk(b"next")))
    await settle()
    assert not producer.done()
    assert intake.received == CAPACITY
    assert await intake.take(FOREVER) == [FULL]
    await producer
    assert await intake.take(FOREVER) == [Chunk(b"next")]


async def test_a_view_counts_as_all_that_it_keeps_in_memory() -> None:
    intake = Intake()
    await intake.put(Chunk(memoryview(bytes(CAPACITY))[:1]))
    producer = asyncio.create_task(intake.put(Chunk(b"next")))
    await settle()
    assert not producer.done()
    assert intake.received == 1
    await intake.take(FOREVER)
    await producer


async def test_a_consumer_waits_while_it_is_empty() -> None:
    intake = Intake()
    consumer = asyncio.create_task(intake.take(FOREVER))
    await settle()
    assert not consumer.done()
    await intake.put(Chunk(b"data"))
    assert await consumer == [Chunk(b"data")]


async def test_a_consumer_waits_no_longer_than_it_wants() -> None:
    assert await Intake().take(0.001) == []


async def test_the_end_wakes_the_consumer() -> None:
    intake = Intake()
    consumer = asyncio.create_task(intake.take(FOREVER))
    await settle()
    intake.end()
    assert await consumer == []


async def test_the_end_wakes_the_producer_whose_chunk_is_dropped() -> None:
    intake = Intake()
    await intake.put(FULL)
    producer = asyncio.create_task(intake.put(Chunk(b"too late")))
    await settle()
    intake.end()
    await producer
    await intake.put(Chunk(b"later still"))
    assert await intake.take(FOREVER) == [FULL]
    assert await intake.take(FOREVER) == []
    assert intake.received == CAPACITY


async def test_only_the_first_end_counts() -> None:
    intake, first = Intake(), ValueError("first")
    intake.end(first)
    intake.end(ValueError("second"))
    intake.end()
    assert intake.error is first


async def test_an_empty_chunk_is_handed_on_too() -> None:
    intake, last = Intake(), Chunk(b"", 5, finish=True)
    await intake.put(last)
    assert await intake.take(FOREVER) == [last]


@pytest.mark.parametrize("side", ["producer", "consumer"])
async def test_who_is_cancelled_while_waiting_loses_nothing(side: str) -> None:
    intake = Intake()
    if side == "producer":
        await intake.put(FULL)
        waiting: asyncio.Task[object] = asyncio.create_task(intake.put(Chunk(b"never")))
    else:
        waiting = asyncio.create_task(intake.take(FOREVER))
    await settle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if side == "consumer":
        await intake.put(FULL)
    intake.end()
    assert await intake.take(FOREVER) == [FULL]


@settings(max_examples=30)
@given(st.lists(st.sampled_from([0, 1, 1000, CAPACITY // 3, CAPACITY, CAPACITY * 2]), max_size=20))
async def test_nothing_is_lost_and_no_more_is_held_than_fits(sizes: list[int]) -> None:
    intake, taken = Intake(), []
    data = bytes(CAPACITY * 2)

    async def produce() -> None:
        for offset, size in enumerate(sizes):
            await intake.put(Chunk(data[:size], offset))
        intake.end()

    producer = asyncio.create_task(produce())
    while chunks := await intake.take(FOREVER):
        assert sum(len(chunk.data) for chunk in chunks[:-1]) < CAPACITY
        taken += chunks
    await producer
    assert [(chunk.offset, len(chunk.data)) for chunk in taken] == list(enumerate(sizes))
    assert intake.received == sum(sizes)
