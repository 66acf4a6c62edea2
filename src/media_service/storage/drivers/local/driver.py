"""Blobs as files in a directory.

    <root>/blobs/<xx>/<blob>                    completed blobs
    <root>/parts/blobs/<xx>/<blob>/<epoch>-<n>  parts of open blobs

A part is a file or a slot of a file (`slots.py`), and bytes are written directly to it. To complete
a blob, the driver selects the file that has the most bytes at their final offsets, copies the other
parts into it, and renames it (`join_parts.py`). A name is durable only after its directory is
synced, so directories are synced too.
"""

import asyncio
import os
import shutil
import tempfile
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import ParamSpec, TypeVar

from media_service.errors import DataLoss, MediaError, Reason, Unavailable
from media_service.failpoints import failpoint
from media_service.storage.buffer import Buffer
from media_service.storage.driver import (
    Driver,
    ExpectedRange,
    ObjectInfo,
    OpenBlob,
    PartLimits,
    PartName,
    StoredPart,
    require_blob,
)
from media_service.storage.drivers.local.durable_files import (
    copy_range,
    locked,
    make_directories,
    remove_folder,
    sync_directory,
    translated,
    write_all,
)
from media_service.storage.drivers.local.held_place import HeldPlace
from media_service.storage.drivers.local.join_parts import join
from media_service.storage.drivers.local.shared_trips import SharedTrips
from media_service.storage.drivers.local.slots import Slot
from media_service.storage.epoch_named_parts import EpochNamedParts
from media_service.storage.piece_size import PieceSize, bytes_of
from media_service.storage.unsigned_driver import UnsignedDriver

# The threads wait for the disk, not for a CPU: many small uploads sync at the same time.
THREADS = 32
# Threads that only read, so that no reader waits for writers.
READERS = 16
# Small writes and syncs share trips to a thread.
SMALL = 256 << 10
MOST_WRITES = 2
MOST_SYNCS = 16
# The number of bytes that the disk reads ahead.
READ_AHEAD = 8 << 20

# A write is durable when the call returns.
PUT_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_DSYNC | os.O_CLOEXEC

P = ParamSpec("P")
T = TypeVar("T")


def is_cached(fd: int, offset: int, size: int) -> bool:
    """Whether both ends of a range are in the page cache, and therefore most likely all of it."""
    byte = [bytearray(1)]
    try:
        return all(os.preadv(fd, byte, at, os.RWF_NOWAIT) for at in (offset, offset + size - 1))
    except OSError:  # it would block, or the file system cannot tell
        return False


def read_from_disk(fd: int, offset: int, size: int) -> bytes:
    """Reads a range, and asks the disk to read ahead."""
    os.posix_fadvise(fd, offset, size + READ_AHEAD, os.POSIX_FADV_WILLNEED)
    return os.pread(fd, size, offset)


def close_opened(opening: "asyncio.Future[int]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        os.close(opening.result())


def info_of(path: Path, key: str) -> ObjectInfo | None:
    """Returns None if there is no such file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return ObjectInfo(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))


class LocalPartWriter:
    """Writes a part to an open file. If `slot` is set, the part is a slot of that file. Otherwise,
    the part is the whole file."""

    resent = False

    def __init__(self, driver: "LocalDriver", path: Path, fd: int, slot: Slot | None) -> None:
        self._driver = driver
        self._path = path
        self._fd = fd
        self._slot = slot
        self._size = 0
        self._synced = 0
        # A write continues in its thread after its caller is cancelled. If the file were closed
        # meanwhile, the bytes could go to another file that reuses the descriptor.
        self._writing = threading.Lock()

    async def write(self, buffers: Sequence[Buffer]) -> None:
        size = self._size + sum(map(len, buffers))
        if self._slot and size > self._slot.range.size:
            raise RuntimeError("a part is larger than its slot")
        await self._driver.write(partial(self._write, buffers), size - self._size)
        self._size = size

    def _write(self, buffers: Sequence[Buffer]) -> None:
        with self._writing:
            write_all(self._fd, buffers)
        failpoint("local.part.written")

    async def sync(self) -> int:
        size = self._size
        await self._driver.sync(partial(os.fdatasync, self._fd), size - self._synced)
        self._synced = size
        failpoint("local.part.synced")
        return size

    async def seal(self) -> None:
        if self._slot and self._size != self._slot.range.size:
            raise RuntimeError("a part is smaller than its slot")
        await self._driver.run(self._seal)

    def _seal(self) -> None:
        try:
            os.fdatasync(self._fd)
        finally:
            self._close()
        failpoint("local.part.sealed")

    async def discard(self) -> None:
        with suppress(MediaError):
            await self._driver.run_anywhere(self._discard)

    def _discard(self) -> None:
        self._close()
        if self._slot:
            self._slot.release(self._path.name)
        else:
            self._path.unlink(missing_ok=True)
        with suppress(OSError):
            self._path.parent.rmdir()

    def _close(self) -> None:
        with self._writing:
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)


class LocalDriver(UnsignedDriver, EpochNamedParts):
    """Keeps blobs below the directory `root`."""

    limits = PartLimits()

    def __init__(self, root: Path) -> None:
        self.root = root
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="disk")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="disk-read")
        self._writes = SharedTrips(self._threads, MOST_WRITES)
        self._syncs = SharedTrips(self._threads, MOST_SYNCS)
        self._root_made = False
        self._shards: dict[Path, int] = {}
        self._held: HeldPlace | None = None
        # What was opened before the store was found in place again. Threads may still use it.
        self._former: list[int] = []
        self._holding = threading.Lock()

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs blocking work on the disk threads, while the store is in place, and translates its
        OSErrors."""
        return await self.run_anywhere(partial(self.in_place, partial(work, *args, **kwargs)))

    async def run_anywhere(self, work: Callable[[], T]) -> T:
        """Like `run`, wherever the path leads."""
        loop = asyncio.get_running_loop()
        with translated():
            return await loop.run_in_executor(self._threads, work)

    def in_place(self, work: Callable[[], T]) -> T:
        """Does the work if the store is in place before and after it. Raises Unavailable."""
        self._require_place()
        result = work()
        self._require_place()
        return result

    def _require_place(self) -> None:
        held = self._held
        if held is None or held.in_place:
            return
        with self._holding:
            if self._held is held and (fresh := held.again()):
                self._held, self._shards, shards = fresh, {}, self._shards
                self._former += shards.values()
                held.close()
        # Even if it is back: what has just been written may be elsewhere.
        raise Unavailable(
            Reason.STORAGE_UNAVAILABLE, "The storage is not in place: its directory has changed."
        )

    async def write(self, work: Callable[[], T], size: int) -> T:
        """Runs a write of so many bytes."""
        with translated():
            return await (self._writes.run(work) if size <= SMALL else self.run(work))

    async def sync(self, work: Callable[[], T], size: int) -> T:
        """Runs a sync of so many bytes."""
        with translated():
            if size > SMALL:
                return await self.run(work)
            return await self._syncs.run(partial(self.in_place, work))

    async def _read(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        with translated():
            return await loop.run_in_executor(self._readers, lambda: work(*args, **kwargs))

    def overlaps(self, other: Driver) -> bool:
        if not isinstance(other, LocalDriver):
            return False
        one, two = self.root.resolve(), other.root.resolve()
        return one.is_relative_to(two) or two.is_relative_to(one)

    async def check(self) -> None:
        def probe() -> None:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root) as file:
                file.write(b"ok")
                file.flush()
                os.fsync(file.fileno())

        try:
            await self.run(probe)
        except MediaError as error:
            raise Unavailable(
                Reason.STORAGE_UNAVAILABLE, f"{self.root} is not writable: {error.message}"
            ) from error

    async def guard(self, key: str) -> None:
        def hold() -> None:
            former, self._held = self._held, HeldPlace(self.root, self.root / key)
            if former:
                former.close()

        await self.run(hold)

    def _parts(self, key: str) -> Path:
        return self.root / "parts" / key

    def _part(self, key: str, name: PartName) -> Path:
        return self._parts(key) / name.file

    async def put(self, key: str, data: Buffer, content_type: str = "") -> None:
        await self.run(self._put, key, data)

    def _put(self, key: str, data: Buffer) -> None:
        final = self.root / key
        folder = self._shard(final.parent)
        fresh = f"{final.name}.{token_hex(8)}.new"  # concurrent calls may store the same blob
        failpoint("local.put.before")
        try:
            fd = os.open(fresh, PUT_FLAGS, 0o600, dir_fd=folder)
            try:
                write_all(fd, [data])
            finally:
                os.close(fd)
            failpoint("local.put.written")
            os.rename(fresh, final.name, src_dir_fd=folder, dst_dir_fd=folder)
            failpoint("local.put.renamed")
            os.fsync(folder)
            failpoint("local.put.after")
        except OSError:
            with suppress(OSError):  # free the space on a full disk
                os.unlink(fresh, dir_fd=folder)
            raise

    def _shard(self, folder: Path) -> int:
        """Opens the folder, and creates it if necessary. It stays open until `close`."""
        fd = self._shards.get(folder)
        if fd is None:
            self.root.mkdir(parents=True, exist_ok=True)
            make_directories(folder, self.root)
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            if (first := self._shards.setdefault(folder, fd)) != fd:
                os.close(fd)  # another thread opened it first
            return first
        return fd

    async def begin(self, key: str, content_type: str = "") -> str:
        return ""

    async def open_part(
        self, key: str, session: str, name: PartName, expected: ExpectedRange | None = None
    ) -> LocalPartWriter:
        path = self._part(key, name)
        slot = Slot(path.parent, expected) if expected else None

        def create() -> LocalPartWriter:
            if not self._root_made:
                self.root.mkdir(parents=True, exist_ok=True)
                self._root_made = True
            make_directories(path.parent, self.root)
            if slot and (fd := slot.take(path.name)) is not None:
                writer = LocalPartWriter(self, path, fd, slot)
            else:
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                writer = LocalPartWriter(self, path, fd, None)
            failpoint("local.part.created")
            try:
                sync_directory(path.parent)
                self._require_place()
            except (OSError, MediaError):
                os.close(fd)
                raise
            return writer

        def create_again() -> LocalPartWriter:
            try:
                for _ in range(9):  # another writer may remove the folder with its last part
                    with suppress(FileNotFoundError):
                        return create()
                return create()
            except FileExistsError:
                raise RuntimeError(f"part name {name} was used before") from None

        return await self.run(create_again)

    async def remove_part(self, key: str, session: str, name: PartName) -> None:
        await self.run(self._part(key, name).unlink, missing_ok=True)

    async def complete(self, key: str, session: str, parts: Sequence[StoredPart]) -> None:
        await self.run(self._complete, key, parts)

    def _complete(self, key: str, parts: Sequence[StoredPart]) -> None:
        self._finish(key, lambda final: join(self._parts(key), parts, final))

    def _finish(self, key: str, make: Callable[[Path], None]) -> None:
        """Creates the blob from the folder of its parts, unless it exists. `make` writes the
        file."""
        final = self.root / key
        folder = self._shard(final.parent)
        failpoint("local.join.before")
        try:
            with locked(self._parts(key)):
                if not final.exists():  # another process may have finished it
                    make(final)
        except FileNotFoundError:  # another process may have finished it and removed the parts
            if not final.exists():
                raise
        # Necessary even if another process renamed the file: it may have died before syncing.
        os.fsync(folder)
        failpoint("local.join.after")
        remove_folder(self._parts(key))

    async def copy(
        self, source: Driver, source_key: str, key: str, size: int, content_type: str
    ) -> bool:
        if not isinstance(source, LocalDriver):
            return False
        await require_blob(source, source_key, size)
        await self.run(self._copy, source.root / source_key, key, size)
        return True

    def _copy(self, source: Path, key: str, size: int) -> None:
        def make(final: Path) -> None:
            copied = self._parts(key) / "copied"
            fd = os.open(copied, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                copy_range(fd, 0, source, 0, size)
                os.fsync(fd)
            except OSError:
                copied.unlink()  # free the space on a full disk
                raise
            finally:
                os.close(fd)
            copied.rename(final)

        self.root.mkdir(parents=True, exist_ok=True)
        make_directories(self._parts(key), self.root)
        self._finish(key, make)

    async def abort(self, key: str, session: str) -> None:
        await self.run(shutil.rmtree, self._parts(key), ignore_errors=True)

    async def read(
        self, key: str, offset: int, length: int, piece_size: PieceSize
    ) -> AsyncGenerator[bytes, None]:
        fd = await self._open(key)
        end = offset + length
        reading: asyncio.Future[bytes] | None = None
        from_disk = False
        try:
            while offset < end:
                size = min(bytes_of(piece_size), end - offset)
                # Reading from the page cache is faster than handing the read to a thread.
                if is_cached(fd, offset, size):
                    with translated(key):
                        if from_disk:  # as earlier ranges: keep reading ahead
                            os.posix_fadvise(fd, offset + READ_AHEAD, size, os.POSIX_FADV_WILLNEED)
                        data = os.pread(fd, size, offset)
                else:
                    from_disk = True
                    reading = asyncio.ensure_future(self._read(read_from_disk, fd, offset, size))
                    data = await asyncio.shield(reading)
                    reading = None
                if not data:
                    raise DataLoss(Reason.BLOB_MISSING, "The stored file is too short.", key=key)
                offset += len(data)
                pieces = [data]  # a name would keep the piece that it yields
                del data
                yield pieces.pop()
        finally:
            if reading is None or reading.done():
                os.close(fd)
            else:  # a thread is still reading: close the file when it has finished
                reading.add_done_callback(lambda _: os.close(fd))

    async def _open(self, key: str) -> int:
        """Opens a blob to read. If the caller is cancelled, the file is closed again."""
        opening = asyncio.ensure_future(
            self._read(os.open, self.root / key, os.O_RDONLY | os.O_CLOEXEC)
        )
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(close_opened)
            raise

    async def stat(self, key: str) -> ObjectInfo | None:
        return await self._read(info_of, self.root / key, key)

    async def delete(self, key: str) -> None:
        def unlink() -> None:
            path = self.root / key
            path.unlink(missing_ok=True)

        await self.run(unlink)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        def walk() -> list[ObjectInfo]:
            found = []
            for path in (self.root / "blobs").rglob("*"):
                key = str(path.relative_to(self.root))
                if key.startswith(prefix) and path.is_file() and (info := info_of(path, key)):
                    found.append(info)
            return found

        for info in await self.run(walk):
            yield info

    async def list_open(self) -> AsyncIterator[OpenBlob]:
        def walk() -> list[OpenBlob]:
            root, found = self.root / "parts", []
            for folder, _, names in os.walk(root):  # ignores folders that are removed meanwhile
                files = [info_of(Path(folder, name), name) for name in names]
                if times := [file.modified for file in files if file]:
                    key = str(Path(folder).relative_to(root))
                    found.append(OpenBlob(key, "", max(times)))
            return found

        for blob in await self.run(walk):
            yield blob

    def local_path(self, key: str) -> Path | None:
        return self.root / key

    async def close(self) -> None:
        self._threads.shutdown(wait=True)
        self._readers.shutdown(wait=True)
        for fd in (*self._shards.values(), *self._former):
            os.close(fd)
        self._shards, self._former = {}, []
        if self._held:
            self._held.close()
            self._held = None
