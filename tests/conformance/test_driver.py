"""What every place that keeps bytes promises: storage/driver.py, in tests."""

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import aclosing
from datetime import timedelta

import pytest
from crc32c import crc32c
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media_service.clock import now
from media_service.errors import DataLoss, Reason
from media_service.storage.driver import Driver, PartName, PartWriter, StoredPart
from tests.support.stores.blobs import content, keys, put, store, whole

MANY_EXAMPLES = settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


# Parts


async def test_a_part_is_written_in_pieces(driver: Driver, key: str) -> None:
    session = await driver.begin(key)
    writer = await driver.open_part(key, session, PartName(1, 1))
    await writer.write([b"one ", b"", b"two "])
    await writer.write([])
    await writer.write([b"three"])
    await writer.seal()
    await driver.complete(key, session, [StoredPart(PartName(1, 1), 13, sealed=True)])
    assert await content(driver, key) == b"one two three"


async def test_a_sync_says_how_much_is_durable(driver: Driver, key: str) -> None:
    session = await driver.begin(key)
    writer = await driver.open_part(key, session, PartName(1, 1))
    assert await writer.sync() == 0
    await writer.write([b"0123456789"])
    assert await writer.sync() in {0, 10}  # 0 where only whole parts are kept
    await writer.discard()


async def test_more_pieces_than_one_system_call_takes(driver: Driver, key: str) -> None:
    session = await driver.begin(key)
    writer = await driver.open_part(key, session, PartName(1, 1))
    pieces = [bytes([n % 251]) * (n % 7) for n in range(5000)]
    await writer.write(pieces)
    await writer.seal()
    data = b"".join(pieces)
    await driver.complete(key, session, [StoredPart(PartName(1, 1), len(data), sealed=True)])
    assert await content(driver, key) == data


async def test_the_same_number_in_another_epoch_is_another_part(driver: Driver, key: str) -> None:
    session = await driver.begin(key)
    await put(driver, key, session, b"superseded", epoch=1)
    counted = await put(driver, key, session, b"counted", epoch=2)
    await driver.complete(key, session, [counted])
    assert await content(driver, key) == b"counted"


async def test_parts_of_other_blobs_do_not_meet(
    driver: Driver, fresh_key: Callable[[], str]
) -> None:
    one, other = fresh_key(), fresh_key()
    sessions = await driver.begin(one), await driver.begin(other)
    first = await put(driver, one, sessions[0], b"one")
    second = await put(driver, other, sessions[1], b"other")
    await driver.complete(one, sessions[0], [first])
    await driver.complete(other, sessions[1], [second])
    assert [await content(driver, one), await content(driver, other)] == [b"one", b"other"]


async def test_a_discarded_part_is_gone(driver: Driver, key: str) -> None:
    session = await driver.begin(key)
    writer = await driver.open_part(key, session, PartName(1, 1))
    await writer.write([b"gone"])
    await writer.discard()
    with pytest.raises(DataLoss):
        await driver.complete(key, session, [StoredPart(PartName(1, 1), 4, sealed=False)])


@pytest.mark.parametrize("before", ["discard", "seal", "abort", "complete"])
async def test_a_discard_never_fails(driver: Driver, key: str, before: str) -> None:
    session = await driver.begin(key)
    writer = await driver.open_part(key, session, PartName(1, 1))
    await writer.write([b"bytes"])
    match before:
        case "discard":
            await writer.discard()
        case "seal":
            await writer.seal()
        case "abort":
            await driver.abort(key, session)
        case "complete":
            counted = await put(driver, key, session, b"counted", epoch=2)
            await driver.complete(key, session, [counted])
    await writer.discard()
    await writer.discard()


async def test_a_part_can_be_opened_while_the_last_other_one_is_discarded(
    driver: Driver, key: str
) -> None:
    session = await driver.begin(key)
    writer = await driver.open_part(key, session, PartName(1, 1))
    for epoch in range(2, 200):
        _, writer = await asyncio.gather(
            writer.discard(), driver.open_part(key, session, PartName(1, epoch))
        )
    await writer.write([b"last"])
    await writer.seal()
    await driver.complete(key, session, [StoredPart(PartName(1, 199), 4, sealed=True)])
    assert await content(driver, key) == b"last"


# Completing


async def test_parts_are_joined_in_the_order_given(driver: Driver, key: str) -> None:
    session = await driver.begin(key)
    pieces = [whole(driver, b"first "), whole(driver, b"second "), b"third"]
    parts = [await put(driver, key, session, pieces[n], n + 1) for n in (2, 0, 1)]
    await driver.complete(key, session, [parts[1], parts[2], parts[0]])
    assert await content(driver, key) == b"".join(pieces)


async def test_only_counted_bytes_of_an_open_part_are_taken(driver: Driver, key: str) -> None:
    session = await driver.begin(key)
    name = PartName(1, 1)
    writer = await driver.open_part(key, session, name)
    counted = whole(driver, b"counted")
    await writer.write([counted])
    if not await writer.sync():
        return  # only whole parts are kept: an open one never counts
    await writer.write([b"never counted"])
    last = await put(driver, key, session, b" and the rest", 2, epoch=2)
    await driver.complete(key, session, [StoredPart(name, len(counted), sealed=False), last])
    assert await content(driver, key) == counted + b" and the rest"
    await writer.discard()


@pytest.mark.parametrize("then", ["seal", "discard"])
async def test_a_superseded_writer_never_changes_the_blob(
    driver: Driver, key: str, then: str
) -> None:
    session = await driver.begin(key)
    name = PartName(1, 1)
    late = await driver.open_part(key, session, name)
    await late.write([b"counted"])
    if not await late.sync():
        return  # only whole parts are kept: an open one never counts
    await driver.complete(key, session, [StoredPart(name, 7, sealed=False)])
    await late.write([b" too late"])
    await late.sync()
    await (late.seal() if then == "seal" else late.discard())
    assert await content(driver, key) == b"counted"
    info = await driver.stat(key)
    assert info is not None
    assert info.size == 7


async def test_completing_again_changes_nothing(driver: Driver, key: str) -> None:
    session = await driver.begin(key)
    parts = [await put(driver, key, session, whole(driver, b"a"), 1)]
    parts.append(await put(driver, key, session, b"b", 2))
    for _ in range(3):
        await driver.complete(key, session, parts)
    assert await content(driver, key) == whole(driver, b"a") + b"b"


async def test_many_may_complete_at_once(driver: Driver, fresh_key: Callable[[], str]) -> None:
    for _ in range(20):
        key = fresh_key()
        session = await driver.begin(key)
        parts = [await put(driver, key, session, whole(driver, b"one"), 1)]
        parts.append(await put(driver, key, session, b"two", 2))
        await asyncio.gather(*(driver.complete(key, session, parts) for _ in range(8)))
        assert await content(driver, key) == whole(driver, b"one") + b"two"


async def test_a_blob_is_not_seen_before_it_is_complete(driver: Driver, key: str) -> None:
    session = await driver.begin(key)
    part = await put(driver, key, session, b"data")
    assert await driver.stat(key) is None
    assert await keys(driver, "") == set()
    with pytest.raises(DataLoss):
        await content(driver, key, 0, 4)
    await driver.complete(key, session, [part])
    assert await keys(driver, "") == {key}


async def test_a_missing_part_is_data_loss(driver: Driver, key: str) -> None:
    session = await driver.begin(key)
    first = await put(driver, key, session, whole(driver, b"first"))
    lost = StoredPart(PartName(2, 1), 4, sealed=True)
    with pytest.raises(DataLoss) as caught:
        await driver.complete(key, session, [first, lost])
    assert caught.value.reason is Reason.BLOB_MISSING
    assert await driver.stat(key) is None


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("sealed", [True, False])
async def test_a_part_that_lost_bytes_is_data_loss(
    driver: Driver, key: str, number: int, sealed: bool
) -> None:
    session = await driver.begin(key)
    parts = [await put(driver, key, session, whole(driver, b"some bytes"), n) for n in (1, 2)]
    parts[number - 1] = StoredPart(PartName(number, 1), parts[0].size + 1, sealed)
    with pytest.raises(DataLoss):
        await driver.complete(key, session, parts[:number])
    assert await driver.stat(key) is None


async def test_a_complete_that_failed_can_be_repeated(driver: Driver, key: str) -> None:
    session = await driver.begin(key)
    first = await put(driver, key, session, whole(driver, b"first "), 1)
    second = await put(driver, key, session, whole(driver, b"second "), 2)
    third = StoredPart(PartName(3, 2), 5, sealed=True)
    with pytest.raises(DataLoss):
        await driver.complete(key, session, [first, second, third])
    await put(driver, key, session, b"third", 3, epoch=2)
    await driver.complete(key, session, [first, second, third])
    joined = whole(driver, b"first ") + whole(driver, b"second ") + b"third"
    assert await content(driver, key) == joined


# Aborting


async def test_an_abort_removes_every_part_known_or_not(driver: Driver, key: str) -> None:
    session = await driver.begin(key)
    known = await put(driver, key, session, b"known")
    unknown = await driver.open_part(key, session, PartName(2, 7))
    await unknown.write([b"unknown"])
    await unknown.sync()
    await driver.abort(key, session)
    for part in (known, StoredPart(PartName(2, 7), 7, sealed=False)):
        with pytest.raises(DataLoss):
            await driver.complete(key, session, [part])
    await unknown.discard()


async def test_an_abort_can_be_repeated_and_needs_nothing_to_be_there(
    driver: Driver, key: str
) -> None:
    session = await driver.begin(key)
    await driver.abort(key, session)
    await put(driver, key, await driver.begin(key), b"part")
    await asyncio.gather(*(driver.abort(key, session) for _ in range(4)))


async def test_an_abort_leaves_the_blob(driver: Driver, key: str) -> None:
    session = await driver.begin(key)
    part = await put(driver, key, session, b"finished")
    await driver.complete(key, session, [part])
    await driver.abort(key, session)
    assert await content(driver, key) == b"finished"


async def test_an_abort_leaves_other_blobs_parts(
    driver: Driver, fresh_key: Callable[[], str]
) -> None:
    mine, other = fresh_key(), fresh_key()
    sessions = await driver.begin(mine), await driver.begin(other)
    part = await put(driver, other, sessions[1], b"stays")
    await driver.abort(mine, sessions[0])
    await driver.complete(other, sessions[1], [part])
    assert await content(driver, other) == b"stays"


# Parts that came past the service


async def test_parts_that_are_stored_are_known_where_they_can_come_past_the_service(
    driver: Driver, key: str
) -> None:
    session = await driver.begin(key)
    first = await put(driver, key, session, whole(driver, b"first"))
    last = await put(driver, key, session, b"last", 2)
    request = await driver.sign_part(
        key, session, PartName(3, 1), 4, crc32c(b"more"), timedelta(hours=1)
    )
    names = [first.name, last.name, PartName(3, 1)]
    known = {
        first.name: (first.size, crc32c(whole(driver, b"first"))),
        last.name: (4, crc32c(b"last")),
    }
    found = await driver.stored_parts(key, session, names)
    if request is None:
        assert found in ({}, known)
    else:
        assert found == known
        assert driver.limits.max_signed_part_size
    await driver.complete(key, session, [first, last])
    assert await driver.stored_parts(key, session, names) == {}


async def test_a_part_fits_into_memory_where_it_waits_there(driver: Driver) -> None:
    limits = driver.limits
    assert (limits.max_part_size is None) == (limits.target_part_size is None)
    assert (limits.max_part_size or 0) >= (limits.target_part_size or 0) >= limits.min_part_size


# What was begun and never ended


async def test_what_a_killed_process_began_can_be_found_and_removed(
    driver: Driver, after_a_kill: Driver, key: str
) -> None:
    part = await put(driver, key, await driver.begin(key, "image/png"), b"part")
    (found,) = [blob async for blob in after_a_kill.list_open()]
    assert found.key == key
    assert abs(found.modified - now()) < timedelta(minutes=1)
    await after_a_kill.abort(found.key, found.session)
    assert [blob async for blob in after_a_kill.list_open()] == []
    with pytest.raises(DataLoss):
        await driver.complete(key, found.session, [part])


async def test_only_what_is_open_is_listed_as_open(
    driver: Driver, fresh_key: Callable[[], str]
) -> None:
    assert [blob async for blob in driver.list_open()] == []
    await store(driver, fresh_key(), whole(driver, b"one"), b"two")
    await driver.put(fresh_key(), b"small")
    opened = {key: await driver.begin(key) for key in (fresh_key() for _ in range(3))}
    for key, session in opened.items():
        await put(driver, key, session, b"first")
        await put(driver, key, session, b"second", 2)
    assert sorted([blob.key async for blob in driver.list_open()]) == sorted(opened)
    async for blob in driver.list_open():
        await driver.abort(blob.key, blob.session)
    assert [blob async for blob in driver.list_open()] == []


# Reading

DATA = bytes(n * 7 % 256 for n in range(10_000))


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 10_000), (0, 1), (9_999, 1), (123, 4567), (5_000, 5_000)]
)
@pytest.mark.parametrize("chunk", [1000, 4096, 1 << 20])
async def test_a_range_is_exact(
    driver: Driver, key: str, offset: int, length: int, chunk: int
) -> None:
    await store(driver, key, DATA)
    pieces = [piece async for piece in driver.read(key, offset, length, chunk)]
    assert b"".join(pieces) == DATA[offset : offset + length]
    assert all(0 < len(piece) <= chunk for piece in pieces)


@pytest.mark.parametrize("offset", [0, 5000, 10_000])
async def test_a_range_may_be_empty(driver: Driver, key: str, offset: int) -> None:
    await store(driver, key, DATA)
    assert [piece async for piece in driver.read(key, offset, 0, 100)] == []


async def test_reading_may_stop_early(driver: Driver, key: str) -> None:
    await store(driver, key, DATA)
    for taken in range(3):
        async with aclosing(driver.read(key, 0, 10_000, 1000)) as pieces:
            for _ in range(taken):
                assert len(await anext(pieces)) == 1000
    assert await content(driver, key) == DATA


async def test_many_readers_do_not_disturb_each_other(driver: Driver, key: str) -> None:
    await store(driver, key, DATA)
    ranges = [(n * 13, 3000 + n) for n in range(40)]
    found = await asyncio.gather(*(content(driver, key, *span) for span in ranges))
    assert found == [DATA[start : start + length] for start, length in ranges]


@pytest.mark.parametrize(("offset", "length"), [(0, 10_001), (9_999, 2), (10_000, 1), (20_000, 1)])
async def test_reading_past_the_end_is_data_loss(
    driver: Driver, key: str, offset: int, length: int
) -> None:
    await store(driver, key, DATA)
    with pytest.raises(DataLoss) as caught:
        await content(driver, key, offset, length)
    assert caught.value.reason is Reason.BLOB_MISSING


async def test_reading_what_is_not_there_is_data_loss(driver: Driver, key: str) -> None:
    with pytest.raises(DataLoss) as caught:
        await content(driver, key, 0, 1)
    assert caught.value.reason is Reason.BLOB_MISSING


async def test_a_reader_that_began_before_a_delete_gets_all_or_data_loss(
    driver: Driver, key: str
) -> None:
    await store(driver, key, DATA)
    async with aclosing(driver.read(key, 0, 10_000, 1000)) as pieces:
        found = await anext(pieces)
        await driver.delete(key)
        try:
            found += b"".join([piece async for piece in pieces])
        except DataLoss:
            return
    assert found == DATA


async def test_a_blob_of_many_parts_and_tens_of_megabytes(driver: Driver, key: str) -> None:
    session = await driver.begin(key)
    digest, parts = hashlib.sha256(), []
    for number, size in enumerate((16 << 20, 8 << 20, (8 << 20) + 12_345), 1):
        block = hashlib.shake_256(bytes([number])).digest(1 << 16)
        data = block * (size >> 16) + block[: size % (1 << 16)]
        digest.update(data)
        parts.append(await put(driver, key, session, data, number))
    await driver.complete(key, session, parts)
    found = hashlib.sha256()
    async for piece in driver.read(key, 0, sum(part.size for part in parts), 1 << 20):
        found.update(piece)
    assert found.digest() == digest.digest()


# The catalogue of blobs


async def test_stat_tells_size_and_time(driver: Driver, key: str) -> None:
    await store(driver, key, b"12345")
    info = await driver.stat(key)
    assert info is not None
    assert (info.key, info.size) == (key, 5)
    assert abs(info.modified - now()) < timedelta(minutes=1)


async def test_what_is_not_there_has_no_stat(driver: Driver, key: str) -> None:
    assert await driver.stat(key) is None


async def test_a_delete_can_be_repeated(driver: Driver, key: str) -> None:
    await store(driver, key, b"data")
    await driver.delete(key)
    await driver.delete(key)
    assert await driver.stat(key) is None
    assert await keys(driver, "") == set()


async def test_a_list_has_the_blobs_under_a_prefix(driver: Driver) -> None:
    stored = ["blobs/aa/one", "blobs/aa/two", "blobs/ab/three"]
    for key in stored:
        await store(driver, key, key.encode())
    await put(driver, "blobs/aa/open", await driver.begin("blobs/aa/open"), b"an open part")
    assert await keys(driver, "") == set(stored)
    assert await keys(driver, "blobs/") == set(stored)
    assert await keys(driver, "blobs/aa/") == set(stored[:2])
    assert await keys(driver, "blobs/aa/t") == {"blobs/aa/two"}
    assert await keys(driver, "blobs/a") == set(stored)
    assert await keys(driver, "elsewhere/") == set()


async def test_a_list_of_an_empty_store_is_empty(driver: Driver) -> None:
    assert await keys(driver, "") == set()


async def test_a_list_tells_sizes(driver: Driver, key: str) -> None:
    await store(driver, key, b"12345")
    assert [info.size async for info in driver.list("blobs/")] == [5]


async def test_a_local_path_holds_the_blob(driver: Driver, key: str) -> None:
    await store(driver, key, b"data")
    path = driver.local_path(key)
    assert path is None or path.read_bytes() == b"data"


# Any history of one upload

ACTIONS = st.lists(
    st.one_of(st.binary(min_size=1, max_size=200), st.sampled_from(["sync", "seal", "crash"])),
    max_size=25,
)


class History:
    """Writers come and die. Bytes count once a sync or a seal said that they are durable."""

    def __init__(self, driver: Driver, key: str, session: str) -> None:
        self.parts: list[StoredPart] = []
        self.dead: list[PartWriter] = []
        self.counted = b""
        self._driver, self._key, self._session = driver, key, session
        self._writer: PartWriter | None = None
        self._name = PartName(1, 1)
        self._written, self._durable = b"", 0

    async def act(self, action: bytes | str) -> None:
        if isinstance(action, bytes):
            await self.write(action)
        elif self._writer is not None:
            await {"sync": self.sync, "seal": self.seal, "crash": self.crash}[action](self._writer)

    async def write(self, data: bytes) -> None:
        if self._writer is None:
            self._writer = await self._driver.open_part(self._key, self._session, self._name)
        await self._writer.write([data[:7], data[7:]])
        self._written += data

    async def sync(self, writer: PartWriter) -> None:
        self._durable = await writer.sync()
        assert self._durable in {0, len(self._written)}

    async def seal(self, writer: PartWriter, *, last: bool = False) -> None:
        if last or len(self._written) >= self._driver.limits.min_part_size:
            await writer.seal()
            self._durable = len(self._written)
            self._count(sealed=True)

    async def crash(self, writer: PartWriter) -> None:
        self.dead.append(writer)
        self._count(sealed=False)

    async def end(self) -> None:
        await self.write(b"the end")
        assert self._writer is not None
        await self.seal(self._writer, last=True)

    def _count(self, *, sealed: bool) -> None:
        if self._durable:
            self.parts.append(StoredPart(self._name, self._durable, sealed))
        self.counted += self._written[: self._durable]
        self._writer, self._written, self._durable = None, b"", 0
        self._name = PartName(len(self.parts) + 1, self._name.epoch + 1)


@MANY_EXAMPLES
@given(actions=ACTIONS, completes=st.integers(1, 3))
async def test_what_was_counted_is_what_the_blob_has(
    driver: Driver, fresh_key: Callable[[], str], actions: list[bytes | str], completes: int
) -> None:
    key = fresh_key()
    session = await driver.begin(key)
    history = History(driver, key, session)
    for action in actions:
        await history.act(action)
    await history.end()
    for _ in range(completes):
        await driver.complete(key, session, history.parts)
    for late in history.dead:
        await late.write([b"too late"])
        await late.discard()
    assert await content(driver, key) == history.counted


async def test_a_small_blob_is_stored_at_once(driver: Driver, key: str) -> None:
    await driver.put(key, b"small")
    await driver.put(key, b"small")
    assert await content(driver, key) == b"small"


async def test_a_small_blob_may_be_stored_by_many_at_once(
    driver: Driver, fresh_key: Callable[[], str]
) -> None:
    for _ in range(20):
        key = fresh_key()
        await asyncio.gather(*(driver.put(key, b"small" * 1000) for _ in range(8)))
        assert await content(driver, key) == b"small" * 1000
    assert len(await keys(driver, "")) == 20
