"""BlobWriter: a byte stream stored as parts, with and without a minimum part size."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
from crc32c import crc32c as crc32c_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media_service.storage.conformance.blobs import content
from media_service.storage.crc32c_combine import combine
from media_service.storage.driver import Driver, PartName
from media_service.storage.drivers.memory import MemoryDriver
from media_service.uploads.model import Part
from media_service.uploads.writer import BlobWriter, split
from tests.support.long_form import examples
from tests.support.stores.whole_part_driver import WholePartDriver


@dataclass
class Ledger:
    """What the database would record: the last state of each part, and the committed size."""

    parts: dict[int, Part] = field(default_factory=dict)
    committed: int = 0

    def count(self, writer: BlobWriter, durable: tuple[int, Sequence[Part]]) -> None:
        committed, parts = durable
        assert committed >= self.committed
        writer.recording(parts)
        self.parts |= {part.number: part for part in parts}
        self.committed = committed
        writer.recorded(parts)

    def check(self, data: bytes) -> None:
        """Asserts that the parts cover exactly the committed bytes."""
        offset = crc32c = 0
        for number, part in sorted(self.parts.items()):
            piece = data[part.offset : part.offset + part.size]
            assert (part.number, part.offset) == (number, offset)
            assert part.crc32c == crc32c_of(piece)
            crc32c = combine(crc32c, part.crc32c, part.size)
            offset += part.size
        assert offset == self.committed
        assert crc32c == crc32c_of(data[:offset])


PIECES = st.lists(st.lists(st.binary(max_size=40), max_size=4), max_size=12)


@settings(
    max_examples=examples(20, 60), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(writes=PIECES, syncs=st.sets(st.integers(0, 11)), breaks=st.sets(st.integers(0, 11)))
async def test_the_parts_contain_the_stream(
    driver: Driver,
    fresh_key: Callable[[], str],
    writes: list[list[bytes]],
    syncs: set[int],
    breaks: set[int],
) -> None:
    """This holds for any split of the bytes and any sequence of sealed writers."""
    key = fresh_key()
    session = await driver.begin(key)
    ledger, epoch = Ledger(), 1
    writer = BlobWriter(driver, key, session, epoch, 1, 0)
    data = b""
    for number, buffers in enumerate(writes):
        await writer.write(buffers)
        data += b"".join(buffers)
        assert writer.offset == len(data)
        if number in syncs:
            ledger.count(writer, await writer.sync())
            ledger.check(data)
        if number in breaks:
            ledger.count(writer, await writer.seal())
            ledger.check(data)
            data = data[: ledger.committed]  # the client resends the rest, or nothing
            epoch += 1
            following = max(ledger.parts, default=0) + 1
            writer = BlobWriter(driver, key, session, epoch, following, len(data))
    await writer.write([b"the end"])
    data += b"the end"
    ledger.count(writer, await writer.seal_last())
    ledger.check(data)
    assert ledger.committed == len(data)
    if epoch == 1:
        assert writer.sha256() == hashlib.sha256(data).digest()
    parts = [ledger.parts[number] for number in sorted(ledger.parts)]
    assert all(part.sealed for part in parts)
    if driver.limits.target_part_size:
        assert all(part.size >= driver.limits.min_part_size for part in parts[:-1])
        assert all(part.size <= driver.limits.target_part_size for part in parts)
    await driver.complete(key, session, [part.in_store for part in parts])
    assert await content(driver, key) == data


async def test_a_stream_is_one_part_without_a_target_part_size(local: Driver, key: str) -> None:
    writer = BlobWriter(local, key, "", 1, 1, 0)
    for _ in range(100):
        await writer.write([b"bytes", b"more"])
    _, parts = await writer.seal_last()
    assert parts == [Part(1, 0, 900, crc32c_of(b"bytesmore" * 100), 1, sealed=True)]


async def test_a_new_part_begins_at_the_target_part_size(key: str) -> None:
    writer = BlobWriter(WholePartDriver(), key, "", 1, 1, 0)
    await writer.write([b"x" * 40])
    committed, parts = await writer.sync()
    assert (committed, [part.size for part in parts]) == (32, [16, 16])


async def test_a_part_below_the_minimum_size_is_dropped_unless_it_is_the_last(key: str) -> None:
    writer = BlobWriter(WholePartDriver(), key, "", 1, 1, 0)
    await writer.write([b"x" * 25])
    committed, parts = await writer.seal()
    assert (committed, [part.size for part in parts]) == (16, [16])
    last = BlobWriter(WholePartDriver(), key, "", 1, 1, 0)
    await last.write([b"x" * 25])
    committed, parts = await last.seal_last()
    assert (committed, [part.size for part in parts]) == (25, [16, 9])


async def test_a_stream_that_does_not_start_at_0_has_no_sha256(memory: Driver, key: str) -> None:
    writer = BlobWriter(memory, key, "", 2, 4, 1000)
    await writer.write([b"later bytes"])
    committed, (part,) = await writer.seal()
    assert writer.sha256() is None
    assert (committed, part.number, part.offset, part.epoch) == (1011, 4, 1000, 2)


async def test_recorded_parts_are_not_returned_again(memory: Driver, key: str) -> None:
    writer = BlobWriter(memory, key, "", 1, 1, 0)
    await writer.write([b"bytes"])
    committed, parts = await writer.seal()
    writer.recorded(parts)
    assert await writer.seal() == (committed, [])


async def test_an_abandoned_part_is_removed_if_it_was_never_counted(memory: MemoryDriver) -> None:
    writer = BlobWriter(memory, "blobs/00/a", "", 1, 1, 0)
    await writer.write([b"bytes"])
    await writer.abandon()
    await writer.abandon()
    assert memory._open["blobs/00/a"] == {}


async def test_an_abandoned_part_stays_if_it_may_have_been_counted(driver: Driver) -> None:
    key = "blobs/00/b"
    session = await driver.begin(key)
    writer = BlobWriter(driver, key, session, 1, 1, 0)
    await writer.write([b"sixteen bytes   ", b"and more"])
    committed, parts = await writer.sync()
    writer.recording(parts)
    await writer.abandon()
    if not parts:
        return  # only sealed parts are durable, so an open one is never counted
    await driver.complete(key, session, [part.in_store for part in parts])
    assert await content(driver, key) == b"sixteen bytes   and more"[:committed]


@pytest.mark.parametrize("room", [None, 0, 1, 3, 5, 8, 100])
def test_split_keeps_every_byte(room: int | None) -> None:
    now, later = split([b"abc", b"de", b"fgh"], room)
    assert b"".join(now) == b"abcdefgh"[:room]
    assert b"".join(now + later) == b"abcdefgh"


def test_a_part_is_named_by_its_number_and_epoch() -> None:
    part = Part(3, 100, 20, 0, 7, sealed=False)
    assert replace(part, sealed=True).in_store.name == PartName(3, 7)
