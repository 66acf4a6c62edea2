"""Slots: parts that are written into one sparse file, which may become the blob.

    slots-<size>-<phase>   a file of slots of one size, at phase, phase + size, and so on
    slot-<size>-<offset>   a dangling link that names the part that holds a slot: <epoch>-<number>

Creating the link takes the slot, which only one part can do. A slot remains taken when its holder
dies, because its bytes may have been committed. It is released only after its file is closed, and
only if nothing in it was committed. Therefore, no two writers ever write to the same bytes.

A writer holds a shared lock on the file. Completing the blob requires the exclusive lock. Without
it, the file is not reused, and the committed bytes are copied. Therefore, a late writer cannot
change a finished blob. The kernel releases a lock when the file is closed or its holder dies. All
of this works across processes.
"""

import errno
import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from media_service.failpoints import failpoint
from media_service.storage.driver import ExpectedRange

FLAGS = os.O_RDWR | os.O_CLOEXEC
# Another process has the lock, or the file system has no locks.
NOT_LOCKED = {errno.EWOULDBLOCK, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


@dataclass(frozen=True, slots=True)
class Slot:
    folder: Path
    range: ExpectedRange

    @property
    def file(self) -> Path:
        return self.folder / f"slots-{self.range.size}-{self.range.offset % self.range.size}"

    @property
    def link(self) -> Path:
        return self.folder / f"slot-{self.range.size}-{self.range.offset}"

    def take(self, holder: str) -> int | None:
        """Returns the open file, positioned at the slot, or None if the slot is not available.

        Raises FileExistsError if `holder` has the slot already.
        """
        fd = open_locked(self.file, fcntl.LOCK_SH, os.O_CREAT)
        if fd is None:
            return None
        try:
            self.link.symlink_to(holder)
            os.lseek(fd, self.range.offset, os.SEEK_SET)
        except OSError as error:
            os.close(fd)
            if isinstance(error, FileExistsError) and str(self.link.readlink()) == holder:
                raise
            # PermissionError means that the file system does not support links.
            if isinstance(error, FileExistsError | PermissionError):
                return None
            raise
        failpoint("local.slot.taken")
        return fd

    def release(self, holder: str) -> None:
        """Releases the slot. Call it after the file is closed, and only if nothing in the slot was
        committed. Releasing the last slot removes the file."""
        with suppress(FileNotFoundError):
            if str(self.link.readlink()) == holder:
                self.link.unlink()
        self._remove_unused()

    def _remove_unused(self) -> None:
        """Removes the file if none of its slots is taken. A lock prevents others from removing it,
        so each process checks again after unlocking."""
        with suppress(FileNotFoundError):
            while not self._file_is_used():
                fd = open_locked(self.file, fcntl.LOCK_EX)
                if fd is None:
                    return
                try:
                    # This check is final: while the lock is held, no slot can be taken.
                    if not self._file_is_used():
                        self.file.unlink()
                        return
                finally:
                    os.close(fd)

    def _file_is_used(self) -> bool:
        return any(slot.file == self.file for slot in taken_slots(self.folder).values())


def taken_slots(folder: Path) -> dict[str, Slot]:
    """Returns the slots that are taken, by holder."""
    found = {}
    for path in folder.glob("slot-*"):
        _, size, offset = path.name.split("-")
        with suppress(FileNotFoundError):  # it was just released
            found[str(path.readlink())] = Slot(folder, ExpectedRange(int(offset), int(size)))
    return found


def open_locked(path: Path, how: int, create: int = 0) -> int | None:
    """Opens and locks the file at `path`. Returns None if another process has the lock, or has
    renamed the file before it was locked. With LOCK_EX, nothing writes to the file until it is
    closed."""
    fd = os.open(path, FLAGS | create, 0o600)
    try:
        if try_lock(fd, how) and is_named(fd, path):
            return fd
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def try_lock(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NOT_LOCKED:
            return False
        raise
    return True


def is_named(fd: int, path: Path) -> bool:
    """Whether `path` still names the open file."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
