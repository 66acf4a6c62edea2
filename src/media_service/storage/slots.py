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

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from media_service.failpoints import failpoint
from media_service.storage.driver import Place

FLAGS = os.O_RDWR | os.O_CLOEXEC


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
        fd = self._open_shared()
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

    def _open_shared(self) -> int | None:
        """None while somebody has the file alone."""
        while True:
            fd = os.open(self.file, FLAGS | os.O_CREAT, 0o600)
            if not locked_now(fd, fcntl.LOCK_SH):
                os.close(fd)
                return None
            if is_named(fd, self.file):
                return fd
            os.close(fd)  # it became a blob, or was removed, before it was locked

    def give_back(self, holder: str) -> None:
        """Once the file is closed, if nothing in the slot was counted. The last slot's file goes
        with it."""
        with suppress(FileNotFoundError):
            if str(self.link.readlink()) == holder:
                self.link.unlink()
            fd = os.open(self.file, FLAGS)
            try:
                given = (slot.file for slot in slots(self.folder).values())
                if alone(fd, self.file) and self.file not in given:
                    self.file.unlink()
            finally:
                os.close(fd)


def slots(folder: Path) -> dict[str, Slot]:
    """Those that are given, by holder."""
    found = {}
    for path in folder.glob("slot-*"):
        _, size, offset = path.name.split("-")
        with suppress(FileNotFoundError):  # given back meanwhile
            found[str(path.readlink())] = Slot(folder, Place(int(offset), int(size)))
    return found


def alone(fd: int, path: Path) -> bool:
    """Whether the file is still the one at `path`, and nobody writes to it from now on until it is
    closed."""
    return locked_now(fd, fcntl.LOCK_EX) and is_named(fd, path)


def locked_now(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_named(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
