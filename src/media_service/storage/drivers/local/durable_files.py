"""Writes files so that they survive a crash, and translates disk errors."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from media_service.errors import MediaError, Reason, ResourceExhausted, Unavailable
from media_service.storage.buffer import Buffer
from media_service.storage.driver import blob_missing

COPY_CHUNK = 64 << 20


def translate(error: OSError, key: str) -> MediaError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ResourceExhausted(Reason.STORAGE_FULL, "The storage is full.")
    if error.errno == errno.ENOENT:
        return blob_missing(key)
    return Unavailable(Reason.STORAGE_UNAVAILABLE, f"The storage failed: {error.strerror}.")


@contextmanager
def translated(key: str = "") -> Iterator[None]:
    """Translates OSErrors into the errors of a driver."""
    try:
        yield
    except OSError as error:
        raise translate(error, key) from error


def sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directories(path: Path, root: Path) -> None:
    """Like `mkdir -p` below `root`, and syncs every new name."""
    if path == root or path.is_dir():
        return
    make_directories(path.parent, root)
    with suppress(FileExistsError):
        path.mkdir()
    sync_directory(path.parent)


def write_all(fd: int, buffers: Sequence[Buffer]) -> None:
    views = [memoryview(b) for b in buffers if b]
    while views:
        written = os.writev(fd, views[:1024])
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if written:
            views[0] = views[0][written:]


def too_short(size: int) -> OSError:
    return FileNotFoundError(errno.ENOENT, f"part is shorter than the {size} bytes recorded")


def copy_range(target: int, at: int, source: Path, start: int, size: int) -> None:
    """Copies `size` bytes from offset `start` of `source` to offset `at` of the open file
    `target`."""
    with source.open("rb") as file:
        end = start + size
        while start < end:
            count = min(end - start, COPY_CHUNK)
            try:
                copied = os.copy_file_range(file.fileno(), target, count, start, at)
            except OSError as error:
                if error.errno not in {errno.EXDEV, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:
                    raise
                os.lseek(target, at, os.SEEK_SET)
                copied = os.sendfile(target, file.fileno(), start, count)
            if not copied:
                raise too_short(size)
            start, at = start + copied, at + copied


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Holds a lock on a directory against other processes on this machine. The kernel releases the
    lock if this process dies."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def remove_folder(path: Path) -> None:
    try:
        path.rmdir()  # empty if its only part was renamed
    except OSError:
        shutil.rmtree(path, ignore_errors=True)
