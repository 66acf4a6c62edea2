"""Parts in their places: side by side in one sparse file, which may become the blob.

    slots-<size>-<phase>   bytes of all places of one size: at phase, phase + size, and so on
    slot-<size>-<offset>   who has one of them: a link that says <epoch>-<n>, and leads nowhere

A slot is given by making its link, which only one can. It stays given when its holder dies, since
what was written may have been counted; it is given back only once its file is closed, and if
nothing was. So no two writers ever write to the same bytes.

Whoever writes to the file shares a lock on it; whoever makes it a blob must have it alone, or else
leaves it and copies what counts. So nobody who is late writes to a finished blob. The kernel lets
go when a file is closed, and so when its holder dies; one process is as good as another.
"""

import errno
import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from media_service.failpoints import failpoint
from media_service.storage.driver import Place

FLAGS = os.O_RDWR | os.O_CLOEXEC
# Somebody else has the lock, or the file system has none.
NOT_LOCKED = {errno.EWOULDBLOCK, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


@dataclass(frozen=True, slots=True)
class Slot:
    folder: Path
    place: Place

    @property
    def file(self) -> Path:
        return self.folder / f"slots-{self.place.size}-{self.place.offset % self.place.size}"

    @property
    def link(self) -> Path:
        return self.folder / f"slot-{self.place.size}-{self.place.offset}"

    def take(self, holder: str) -> int | None:
        """The open file, to be written from the place on; None if the slot is not to be had.
        Raises FileExistsError if this very holder has it."""
        fd = open_locked(self.file, fcntl.LOCK_SH, os.O_CREAT)
        if fd is None:
            return None
        try:
            self.link.symlink_to(holder)
            os.lseek(fd, self.place.offset, os.SEEK_SET)
        except OSError as error:
            os.close(fd)
            if isinstance(error, FileExistsError) and str(self.link.readlink()) == holder:
                raise
            if isinstance(error, FileExistsError | PermissionError):  # or there are no links here
                return None
            raise
        failpoint("local.slot.taken")
        return fd

    def give_back(self, holder: str) -> None:
        """Once the file is closed, if nothing in the slot was counted. The last slot's file goes
        with it."""
        with suppress(FileNotFoundError):
            if str(self.link.readlink()) == holder:
                self.link.unlink()
        self._remove_unused()

    def _remove_unused(self) -> None:
        """Removes the file if nobody has a slot of it. Who has it locked keeps others from this,
        so they look again once they have let go."""
        with suppress(FileNotFoundError):
            while not self._file_is_used():
                fd = open_locked(self.file, fcntl.LOCK_EX)
                if fd is None:
                    return
                try:
                    # Only what is seen from now on counts: nobody can take a slot any more.
                    if not self._file_is_used():
                        self.file.unlink()
                        return
                finally:
                    os.close(fd)

    def _file_is_used(self) -> bool:
        return any(slot.file == self.file for slot in slots(self.folder).values())


def slots(folder: Path) -> dict[str, Slot]:
    """Those that are given, by holder."""
    found = {}
    for path in folder.glob("slot-*"):
        _, size, offset = path.name.split("-")
        with suppress(FileNotFoundError):  # given back meanwhile
            found[str(path.readlink())] = Slot(folder, Place(int(offset), int(size)))
    return found


def open_locked(path: Path, how: int, create: int = 0) -> int | None:
    """The open file at `path`; None if the lock is not to be had now, or the file got another name
    before it was locked. LOCK_EX: nobody writes to it until it is closed."""
    fd = os.open(path, FLAGS | create, 0o600)
    try:
        if locked_now(fd, how) and is_named(fd, path):
            return fd
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def locked_now(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NOT_LOCKED:
            return False
        raise
    return True


def is_named(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
