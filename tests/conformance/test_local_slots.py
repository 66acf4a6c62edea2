"""Slots of the local driver: independent writers write parts at their final offsets."""

import asyncio
import errno
import fcntl
import os
import random
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from media_service.errors import ResourceExhausted, Unavailable
from media_service.storage.conformance.blobs import content, put
from media_service.storage.driver import ExpectedRange, PartName, StoredPart
from media_service.storage.drivers.local.driver import LocalDriver
from media_service.storage.drivers.local.durable_files import copy_range
from media_service.storage.drivers.local.slots import Slot, taken_slots
from tests.support.stores.local_slots import SIZE, data, place, unsealed_part


def named(number: int, epoch: int = 1, size: int = SIZE) -> StoredPart:
    return StoredPart(PartName(number, epoch), size, sealed=True)


def folder(driver: LocalDriver, key: str) -> Path:
    return driver.root / "parts" / key


def slots_file(driver: LocalDriver, key: str, size: int = SIZE) -> Path:
    return folder(driver, key) / f"slots-{size}-0"


async def placed(driver: LocalDriver, key: str, number: int, epoch: int = 1) -> StoredPart:
    await (await unsealed_part(driver, key, number, epoch)).seal()
    return named(number, epoch)


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the ranges that joining copies."""
    sizes: list[int] = []

    def counted(target: int, at: int, source: Path, start: int, size: int) -> None:
        sizes.append(size)
        copy_range(target, at, source, start, size)

    monkeypatch.setattr("media_service.storage.drivers.local.join_parts.copy_range", counted)
    return sizes


async def test_parts_at_their_final_offsets_are_not_copied(
    local: LocalDriver, key: str, copied: list[int]
) -> None:
    for number in (3, 1, 4, 2):
        await placed(local, key, number)
    written = slots_file(local, key).stat().st_ino
    await local.complete(key, "", [named(number) for number in (1, 2, 3, 4)])
    assert await content(local, key) == b"".join(map(data, (1, 2, 3, 4)))
    assert copied == []
    assert (local.root / key).stat().st_ino == written
    assert not folder(local, key).exists()


async def test_a_smaller_last_part_is_copied(
    local: LocalDriver, key: str, copied: list[int]
) -> None:
    for number in (1, 2):
        await placed(local, key, number)
    writer = await local.open_part(key, "", PartName(3, 1), place(3, 7))
    await writer.write([data(3, 7)])
    await writer.seal()
    await local.complete(key, "", [named(1), named(2), named(3, size=7)])
    assert await content(local, key) == data(1) + data(2) + data(3, 7)
    assert copied == [7]


async def test_parts_after_a_stream_are_not_copied(
    local: LocalDriver, key: str, copied: list[int]
) -> None:
    """The first part is a stream of any size. The later parts keep their distances."""
    first = await put(local, key, "", b"stream")
    for number in (2, 3):
        there = ExpectedRange(6 + (number - 2) * SIZE, SIZE)
        writer = await local.open_part(key, "", PartName(number, 2), there)
        await writer.write([data(number)])
        await writer.seal()
    await local.complete(key, "", [first, named(2, 2), named(3, 2)])
    assert await content(local, key) == b"stream" + data(2) + data(3)
    assert copied == [6]


async def test_wrong_expected_offsets_are_corrected(local: LocalDriver, key: str) -> None:
    """The sizes of the parts vary, so most expected offsets are wrong."""
    sizes = [500, 20, 300, 20, 300, 7, 500, 1]
    parts = []
    for number, size in enumerate(sizes, 1):
        writer = await local.open_part(key, "", PartName(number, 1), place(number, size))
        await writer.write([data(number, size)])
        await writer.seal()
        parts.append(named(number, size=size))
    await local.complete(key, "", parts)
    expected = b"".join(data(number, size) for number, size in enumerate(sizes, 1))
    assert await content(local, key) == expected


@pytest.mark.parametrize("counted", [1, 2])
async def test_either_of_two_writers_of_one_part_number_may_be_counted(
    local: LocalDriver, key: str, counted: int
) -> None:
    await placed(local, key, 1)
    first = await unsealed_part(local, key, 2, 1, byte=101)
    second = await unsealed_part(local, key, 2, 2, byte=102)
    await second.seal()
    await first.seal()
    await local.complete(key, "", [named(1), named(2, counted)])
    assert await content(local, key) == data(1) + data(100 + counted)


async def test_a_late_writer_does_not_change_the_blob(local: LocalDriver, key: str) -> None:
    """Simulates a fenced-off server that still has the file open."""
    other = LocalDriver(local.root)
    late = await unsealed_part(other, key, 2, 1)
    for number in (1, 3):
        await placed(local, key, number, 2)
    await (await unsealed_part(local, key, 2, 3, byte=100)).seal()  # the slot is taken
    await local.complete(key, "", [named(1, 2), named(2, 3), named(3, 2)])
    os.pwrite(late._fd, b"late" * 1000, SIZE)
    await late.seal()
    await late.discard()
    assert await content(local, key) == data(1) + data(100) + data(3)
    assert not folder(local, key).exists()
    await other.close()


async def test_a_writer_that_opens_the_file_just_before_its_rename_does_not_write_to_it(
    local: LocalDriver, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that renames the file dies before it removes the folder."""
    await placed(local, key, 1)
    (local.root / key).parent.mkdir(parents=True)
    lock = fcntl.flock

    def locked_late(fd: int, how: int) -> None:
        monkeypatch.undo()
        slots_file(local, key).rename(local.root / key)
        lock(fd, how)

    monkeypatch.setattr(fcntl, "flock", locked_late)
    await unsealed_part(local, key, 2)
    assert await content(local, key) == data(1)


async def test_a_released_slot_can_be_reused(
    local: LocalDriver, key: str, copied: list[int]
) -> None:
    await placed(local, key, 1)
    broken = await local.open_part(key, "", PartName(2, 2), place(2))
    await broken.write([b"half"])
    await broken.discard()
    await placed(local, key, 2, epoch=3)
    await local.complete(key, "", [named(1), named(2, 3)])
    assert await content(local, key) == data(1) + data(2)
    assert copied == []


async def test_discarding_a_sealed_part_releases_its_slot(local: LocalDriver, key: str) -> None:
    twice = await unsealed_part(local, key, 1, 1)
    await twice.seal()
    await twice.discard()
    assert not folder(local, key).exists()


async def test_releasing_the_last_slot_removes_the_folder(local: LocalDriver, key: str) -> None:
    writers = [await unsealed_part(local, key, number) for number in (1, 2, 3)]
    await asyncio.gather(*(writer.discard() for writer in writers))
    assert not folder(local, key).exists()


@pytest.fixture
def after_each_listing(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """Steps of other processes. Each runs right after a listing of the taken slots."""
    steps: list[Callable[[], None]] = []

    def looked(folder: Path) -> dict[str, Slot]:
        found = taken_slots(folder)
        if steps:
            steps.pop(0)()
        return found

    monkeypatch.setattr("media_service.storage.drivers.local.slots.taken_slots", looked)
    return steps


def take(driver: LocalDriver, key: str, number: int) -> None:
    """Acts as another process that writes a part, which is then counted."""
    fd = Slot(folder(driver, key), place(number)).take(named(number).name.file)
    assert fd is not None
    os.write(fd, data(number))
    os.close(fd)


def release_slot(driver: LocalDriver, key: str, number: int) -> None:
    Slot(folder(driver, key), place(number)).release(named(number).name.file)


async def test_a_part_counted_while_the_last_slot_is_released_is_kept(
    local: LocalDriver, key: str, after_each_listing: list[Callable[[], None]]
) -> None:
    first = await unsealed_part(local, key, 1)
    after_each_listing.append(lambda: take(local, key, 2))
    await first.discard()
    assert after_each_listing == []
    await placed(local, key, 1, epoch=2)
    await local.complete(key, "", [named(1, 2), named(2)])
    assert await content(local, key) == data(1) + data(2)


async def test_the_last_slot_may_be_released_without_the_lock(
    local: LocalDriver, key: str, after_each_listing: list[Callable[[], None]]
) -> None:
    first = await unsealed_part(local, key, 1)
    # Slot 2 is released while the first writer holds the lock and has just seen it taken.
    after_each_listing += [lambda: take(local, key, 2), lambda: release_slot(local, key, 2)]
    await first.discard()
    assert after_each_listing == []
    assert not folder(local, key).exists()


async def test_a_slot_keeps_its_size(local: LocalDriver, key: str) -> None:
    await placed(local, key, 2)
    writer = await local.open_part(key, "", PartName(1, 1), place(1))
    await writer.write([b"less"])
    with pytest.raises(RuntimeError):
        await writer.seal()
    with pytest.raises(RuntimeError):
        await writer.write([data(1)])
    await writer.discard()
    await placed(local, key, 1, 2)
    await local.complete(key, "", [named(1, 2), named(2)])
    assert await content(local, key) == data(1) + data(2)


async def test_a_part_name_has_one_slot(local: LocalDriver, key: str) -> None:
    await placed(local, key, 1)
    with pytest.raises(RuntimeError):
        await local.open_part(key, "", PartName(1, 1), place(1))


@pytest.mark.parametrize("left", [b"", b"half of what was to be copied", bytes(9 * SIZE)])
async def test_complete_succeeds_after_a_crash_while_joining(
    local: LocalDriver, key: str, left: bytes
) -> None:
    for number in (1, 3):
        await placed(local, key, number)
    other = await put(local, key, "", data(2), 2, epoch=2)
    with slots_file(local, key).open("r+b") as file:
        for offset in (SIZE, 3 * SIZE):
            file.seek(offset)
            file.write(left[: SIZE if offset == SIZE else None])
    await local.complete(key, "", [named(1), other, named(3)])
    assert await content(local, key) == b"".join(map(data, (1, 2, 3)))


async def test_a_killed_writer_keeps_its_slot_but_not_the_lock(
    local: LocalDriver, key: str
) -> None:
    """Its bytes may have been counted, so no other writer may use its slot. None is blocked."""
    await placed(local, key, 1)
    script = f"""
import asyncio, os, signal
from pathlib import Path
from media_service.storage.drivers.local.driver import LocalDriver
from tests.support.stores.local_slots import unsealed_part
asyncio.run(unsealed_part(LocalDriver(Path({str(local.root)!r})), {key!r}, 2, 2))
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    assert await killed.wait() == -signal.SIGKILL
    await (await unsealed_part(local, key, 2, 3, byte=100)).seal()
    with slots_file(local, key).open("rb") as file:
        assert file.read() == data(1) + data(2)
    written = slots_file(local, key).stat().st_ino
    await local.complete(key, "", [named(1), named(2, 3)])
    assert await content(local, key) == data(1) + data(100)
    assert (local.root / key).stat().st_ino == written


async def test_an_open_blob_of_slots_is_listed_and_removed(local: LocalDriver, key: str) -> None:
    await placed(local, key, 1)
    left = await unsealed_part(local, key, 2)
    os.utime(slots_file(local, key), (3000, 3000))
    (found,) = [blob async for blob in local.list_open()]
    assert (found.key, found.modified.timestamp()) == (key, 3000)
    await local.abort(key, "")
    await left.discard()
    assert not folder(local, key).exists()


async def test_without_hard_links_every_part_has_its_own_file(
    local: LocalDriver, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "not on this file system")

    monkeypatch.setattr(Path, "symlink_to", refused)
    for number in (1, 2):
        await placed(local, key, number)
    await local.complete(key, "", [named(1), named(2)])
    assert await content(local, key) == data(1) + data(2)
    assert not folder(local, key).exists()


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO, errno.ESTALE])
async def test_a_file_that_cannot_be_locked_is_not_left_open(
    local: LocalDriver, key: str, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Without locks, every part has its own file. Other failures are errors."""
    for number in (1, 2):
        await placed(local, key, number)
    opened, lock = files_open(), fcntl.flock

    def failed(fd: int, how: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            lock(fd, how)
        else:
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", failed)
    parts = [named(1), named(2), named(3)]
    if code in {errno.ENOLCK, errno.EOPNOTSUPP}:
        await placed(local, key, 3)
        await local.complete(key, "", parts)
        assert await content(local, key) == data(1) + data(2) + data(3)
    else:
        for work in (placed(local, key, 3), local.complete(key, "", parts[:2])):
            with pytest.raises(Unavailable):
                await work
    assert {path for path in files_open() - opened if str(folder(local, key)) in path} == set()


def files_open() -> set[str]:
    found = set()
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor of the listing itself
            found.add(str(fd.readlink()))
    return found


async def test_a_join_that_runs_out_of_space_frees_what_it_took(
    local: LocalDriver, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [await put(local, key, "", data(number), number) for number in (1, 2)]
    before = set(folder(local, key).iterdir())

    def full(target: int, at: int, source: Path, start: int, size: int) -> None:
        copy_range(target, at, source, start, size // 2)
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("media_service.storage.drivers.local.join_parts.copy_range", full)
    unsealed = [replace(part, sealed=False) for part in parts]
    with pytest.raises(ResourceExhausted):
        await local.complete(key, "", unsealed)
    assert set(folder(local, key).iterdir()) == before
    monkeypatch.undo()
    await local.complete(key, "", unsealed)
    assert await content(local, key) == data(1) + data(2)


async def test_the_blob_has_the_counted_bytes_in_any_order_of_calls(
    local: LocalDriver, fresh_key: Callable[[], str]
) -> None:
    """Two processes: some writers finish, discard or lag while others complete the blob."""
    drivers = [local, LocalDriver(local.root)]
    chance = random.Random(7)  # noqa: S311
    for _ in range(40):
        key, numbers = fresh_key(), range(1, 7)
        counted: dict[int, StoredPart] = {}
        epochs = iter(range(1, 1000))

        async def write(
            number: int,
            byte: int,
            key: str = key,
            counted: dict[int, StoredPart] = counted,
            epochs: Iterator[int] = epochs,
        ) -> None:
            epoch = next(epochs)
            driver = chance.choice(drivers)
            writer = await driver.open_part(key, "", PartName(number, epoch), place(number))
            for at in range(0, SIZE, SIZE // 4):
                await writer.write([data(byte)[at : at + SIZE // 4]])
                await asyncio.sleep(chance.random() * 0.002)
            await writer.seal()
            if byte == number and number not in counted:
                counted[number] = named(number, epoch)
            else:
                await writer.discard()

        attempts = [write(number, number) for number in numbers]
        attempts += [write(number, byte) for number in numbers for byte in (number, 99)]
        chance.shuffle(attempts)
        running = [asyncio.create_task(attempt) for attempt in attempts]
        while len(counted) < len(numbers):
            await asyncio.sleep(0.001)
        parts = [counted[number] for number in numbers]
        await asyncio.gather(*(driver.complete(key, "", parts) for driver in drivers))
        # Later writers are not counted, because the upload is complete.
        await asyncio.gather(*running)
        assert await content(local, key) == b"".join(map(data, numbers))
        assert not folder(local, key).exists()
    await drivers[1].close()
