"""The local driver: durability, crashes, full disks and file descriptors."""

import asyncio
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from media_service.errors import MediaError, Reason, ResourceExhausted, Unavailable
from media_service.storage.conformance.blobs import content, put, store
from media_service.storage.driver import PartName, StoredPart
from media_service.storage.drivers.local.driver import LocalDriver, LocalPartWriter
from media_service.storage.marked_driver import KEY, write_marker

DATA = bytes(n % 251 for n in range(100_000))


def leftovers(driver: LocalDriver) -> list[Path]:
    return [path for path in (driver.root / "parts").rglob("*") if path.is_file()]


def folder(driver: LocalDriver, key: str) -> Path:
    return driver.root / "parts" / key


def open_files(driver: LocalDriver) -> list[Path]:
    """The driver's open files. Folders are excluded because the driver keeps them open."""
    found = []
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # another thread has just closed it
            if (file := fd.readlink()).is_relative_to(driver.root) and not fd.is_dir():
                found.append(file)
    return found


@contextmanager
def full_disk(writer: LocalPartWriter) -> Iterator[None]:
    """The kernel answers every write to this part with ENOSPC, as a full disk does."""
    kept = os.dup(writer._fd)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, writer._fd)
    os.close(full)
    yield
    os.dup2(kept, writer._fd)
    os.close(kept)


async def test_a_part_name_can_be_written_only_once(local: LocalDriver, key: str) -> None:
    session = await local.begin(key)
    await put(local, key, session, b"first")
    with pytest.raises(RuntimeError):
        await local.open_part(key, session, PartName(1, 1))
    await local.complete(key, session, [StoredPart(PartName(1, 1), 5, sealed=True)])
    assert await content(local, key) == b"first"


async def test_a_full_disk_is_reported_as_storage_full(local: LocalDriver, key: str) -> None:
    writer = await local.open_part(key, "", PartName(1, 1))
    await writer.write([b"fits"])
    with full_disk(writer):
        with pytest.raises(ResourceExhausted) as caught:
            await writer.write([b"does not fit"])
        assert caught.value.reason is Reason.STORAGE_FULL
    # Only the earlier bytes count.
    assert await writer.sync() == 4
    await writer.seal()
    await local.complete(key, "", [StoredPart(PartName(1, 1), 4, sealed=True)])
    assert await content(local, key) == b"fits"


async def test_a_broken_disk_is_unavailable(local: LocalDriver, key: str) -> None:
    (local.root / "parts").mkdir(parents=True)
    folder(local, key).parent.parent.write_bytes(b"a file where a folder should be")
    with pytest.raises(Unavailable) as caught:
        await local.open_part(key, "", PartName(1, 1))
    assert caught.value.reason is Reason.STORAGE_UNAVAILABLE


async def test_only_the_service_can_read_its_files(local: LocalDriver, key: str) -> None:
    part = await put(local, key, "", b"private")
    for file in leftovers(local):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    await local.complete(key, "", [part])
    assert stat.S_IMODE((local.root / key).stat().st_mode) == 0o600


async def test_only_the_service_can_read_a_joined_file(local: LocalDriver, key: str) -> None:
    first = await put(local, key, "", b"first", 1)
    second = await put(local, key, "", b"second", 2)
    unsealed = StoredPart(first.name, first.size, sealed=False)
    await local.complete(key, "", [unsealed, second])
    assert stat.S_IMODE((local.root / key).stat().st_mode) == 0o600


@pytest.mark.parametrize("pieces", [1, 2, 5])
async def test_complete_leaves_no_parts(local: LocalDriver, key: str, pieces: int) -> None:
    await put(local, key, "", b"superseded", 1, epoch=1)
    parts = [await put(local, key, "", b"part", n, epoch=2) for n in range(1, pieces + 1)]
    await local.complete(key, "", parts)
    assert leftovers(local) == []
    assert not folder(local, key).exists()


async def test_abort_leaves_no_parts(local: LocalDriver, key: str) -> None:
    await put(local, key, "", b"part")
    await local.abort(key, "")
    assert not folder(local, key).exists()


async def test_discard_leaves_no_folder(local: LocalDriver, key: str) -> None:
    writer = await local.open_part(key, "", PartName(1, 1))
    await writer.discard()
    assert not folder(local, key).exists()


# A crash at each step of `complete`


async def three_parts(local: LocalDriver, key: str) -> list[StoredPart]:
    return [await put(local, key, "", data, n) for n, data in enumerate((b"one", b"two", b"end"))]


@pytest.mark.parametrize("appended", [b"t", b"two", b"twoe", b"twoend", b"twoend and more"])
async def test_complete_succeeds_after_a_crash_while_joining(
    local: LocalDriver, key: str, appended: bytes
) -> None:
    parts = await three_parts(local, key)
    with (folder(local, key) / "1-0").open("ab") as first:
        first.write(appended)
    await local.complete(key, "", parts)
    assert await content(local, key) == b"onetwoend"
    assert not folder(local, key).exists()


@pytest.mark.parametrize("copied", [b"", b"on", b"onetwoend", b"longer than all of it"])
async def test_complete_succeeds_after_a_crash_while_copying(
    local: LocalDriver, key: str, copied: bytes
) -> None:
    first, *rest = await three_parts(local, key)
    (folder(local, key) / "joined").write_bytes(copied)
    await local.complete(key, "", [StoredPart(first.name, first.size, sealed=False), *rest])
    assert await content(local, key) == b"onetwoend"
    assert not folder(local, key).exists()


async def test_complete_succeeds_after_a_crash_before_removing_the_parts(
    local: LocalDriver, key: str
) -> None:
    parts = await three_parts(local, key)
    (local.root / key).parent.mkdir(parents=True)
    (local.root / key).write_bytes(b"onetwoend")
    await local.complete(key, "", parts)
    assert await content(local, key) == b"onetwoend"
    assert not folder(local, key).exists()


async def test_a_single_part_is_truncated_to_its_counted_size(local: LocalDriver, key: str) -> None:
    part = await put(local, key, "", b"four and what an attempt to join appended")
    await local.complete(key, "", [StoredPart(part.name, 4, sealed=True)])
    assert await content(local, key) == b"four"


async def test_two_processes_may_complete_a_blob_concurrently(
    local: LocalDriver, fresh_key: Callable[[], str]
) -> None:
    other = LocalDriver(local.root)
    for _ in range(50):
        key = fresh_key()
        parts = await three_parts(local, key)
        await asyncio.gather(*(d.complete(key, "", parts) for d in (local, other) * 3))
        assert await content(other, key) == b"onetwoend"
    await other.close()


async def test_synced_bytes_are_visible_to_another_process(local: LocalDriver, key: str) -> None:
    writer = await local.open_part(key, "", PartName(1, 1))
    await writer.write([b"durable"])
    counted = StoredPart(PartName(1, 1), await writer.sync(), sealed=False)
    survivor = LocalDriver(local.root)
    await survivor.complete(key, "", [counted])
    assert await content(survivor, key) == b"durable"
    await survivor.close()
    await writer.discard()


# Copies


@pytest.mark.parametrize("copied", [b"", b"onet", b"longer than all of it"])
async def test_copy_succeeds_after_a_crash_while_copying(
    local: LocalDriver, fresh_key: Callable[[], str], copied: bytes
) -> None:
    source, target = fresh_key(), fresh_key()
    await store(local, source, b"onetwoend")
    folder(local, target).mkdir(parents=True)
    (folder(local, target) / "copied").write_bytes(copied)
    assert [blob.key async for blob in local.list_open()] == [target]
    assert await local.copy(local, source, target, 9, "")
    assert await content(local, target) == b"onetwoend"
    assert not folder(local, target).exists()


async def test_a_copy_that_does_not_fit_leaves_nothing(
    local: LocalDriver, fresh_key: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = fresh_key(), fresh_key()
    await store(local, source, b"bytes")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "copy_file_range", full)
    with pytest.raises(ResourceExhausted) as caught:
        await local.copy(local, source, target, 5, "")
    assert caught.value.reason is Reason.STORAGE_FULL
    assert leftovers(local) == []
    assert await local.stat(target) is None


async def test_a_blob_is_copied_to_another_file_system(local: LocalDriver, key: str) -> None:
    await store(local, key, DATA)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        other = LocalDriver(Path(elsewhere))
        assert await other.copy(local, key, key, len(DATA), "")
        assert await content(other, key) == DATA
        assert stat.S_IMODE((other.root / key).stat().st_mode) == 0o600
        await other.close()


# Open blobs


async def test_an_open_blob_has_the_time_of_its_newest_part(local: LocalDriver, key: str) -> None:
    for number, seconds in enumerate((1000, 3000, 2000), 1):
        await put(local, key, "", b"part", number)
        os.utime(folder(local, key) / f"1-{number}", (seconds, seconds))
    (found,) = [blob async for blob in local.list_open()]
    assert (found.key, found.session) == (key, "")
    assert found.modified.timestamp() == 3000


# Files


async def test_no_file_descriptor_leaks(local: LocalDriver, fresh_key: Callable[[], str]) -> None:
    await store(local, fresh_key(), b"the disk threads start")
    for _ in range(5):
        key = fresh_key()
        with pytest.raises(MediaError):
            await content(local, key, 0, 1)
        await store(local, key, b"one", b"two")
        await content(local, key)
        with pytest.raises(MediaError):
            await content(local, key, 0, 100)
        other = fresh_key()
        await put(local, other, "", b"part")
        with pytest.raises(RuntimeError):
            await put(local, other, "", b"part again")
        await (await local.open_part(fresh_key(), "", PartName(1, 1))).discard()
    assert open_files(local) == []


async def test_a_cancelled_write_ends_before_its_file_is_closed(
    local: LocalDriver, key: str
) -> None:
    """Otherwise its bytes would land in the next file with the same descriptor number."""
    writer = await local.open_part(key, "", PartName(1, 1))
    slow, end = os.pipe()
    os.dup2(end, writer._fd)
    os.close(end)
    # More than a pipe or one system call takes, so the write blocks until the pipe is read.
    pieces = [bytes(256)] * 4096
    writing = asyncio.create_task(writer.write(pieces))
    received = len(await asyncio.to_thread(os.read, slow, 1))
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    discarding = asyncio.create_task(writer.discard())
    closed_early, _ = await asyncio.wait({discarding}, timeout=0.05)
    while piece := await asyncio.to_thread(os.read, slow, 1 << 16):
        received += len(piece)
    await discarding
    os.close(slow)
    assert not closed_early
    assert received == sum(map(len, pieces))


async def test_a_small_blob_that_does_not_fit_leaves_nothing(
    local: LocalDriver, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await local.put(key, b"fits")
    full = os.open("/dev/full", os.O_WRONLY)
    real = os.open
    monkeypatch.setattr(
        os,
        "open",
        lambda path, *more, **options: (
            os.dup(full) if str(path).endswith(".new") else real(path, *more, **options)
        ),
    )
    with pytest.raises(ResourceExhausted):
        await local.put(key, b"does not fit")
    monkeypatch.undo()
    os.close(full)
    assert await content(local, key) == b"fits"
    assert [path.name for path in local.root.rglob("*.new")] == []


# A directory that is replaced, like a mount point whose disk is unmounted


@pytest.fixture
async def guarded(local: LocalDriver) -> LocalDriver:
    await write_marker(local, "the id")
    await local.guard(KEY)
    return local


def replace_root(driver: LocalDriver) -> Path:
    """Returns where the directory is meanwhile."""
    away = driver.root.with_name("away")
    driver.root.rename(away)
    driver.root.mkdir()
    return away


async def test_nothing_is_acknowledged_in_another_directory(
    guarded: LocalDriver, fresh_key: Callable[[], str]
) -> None:
    one, two = fresh_key(), fresh_key()
    await guarded.put(one, b"before")
    open_one = await guarded.open_part(two, "", PartName(1, 1))
    sealed = await put(guarded, two, "", b"sealed", 2)
    await open_one.write([b"written"])
    away = replace_root(guarded)
    for call in (
        guarded.put(one, b"after"),
        open_one.sync(),
        open_one.seal(),
        guarded.open_part(two, "", PartName(3, 1)),
        guarded.complete(two, "", [sealed]),
        guarded.delete(one),
        guarded.abort(two, ""),
    ):
        with pytest.raises(Unavailable) as caught:
            await call
        assert caught.value.reason is Reason.STORAGE_UNAVAILABLE
    await open_one.discard()
    assert list(guarded.root.rglob("*")) == []
    guarded.root.rmdir()
    away.rename(guarded.root)
    await guarded.complete(two, "", [sealed])
    assert await content(guarded, two) == b"sealed"
    assert await content(guarded, one) == b"before"


async def test_the_same_store_in_a_new_directory_is_used_again(
    guarded: LocalDriver, key: str
) -> None:
    """For example, another disk with the same files."""
    await guarded.put(key, b"before")
    away = replace_root(guarded)
    shutil.copytree(away, guarded.root, dirs_exist_ok=True)
    with pytest.raises(Unavailable):
        await guarded.put(key, b"lost")
    await guarded.put(key, b"after")
    assert (guarded.root / key).read_bytes() == b"after"
    assert (away / key).read_bytes() == b"before"
