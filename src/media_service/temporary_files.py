"""Temporary files and folders that can be removed after their process has died.

The process that uses one holds a kernel lock on it, which ends with the process. So if the lock is
free, the file is abandoned. Process ids cannot tell: containers that share a /tmp each have their
own.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import IO

PREFIXES = ("media-child-", "media-program-", "media-blob-", "media-render-")


class TemporaryFolder:
    """A new folder that only the current user can open."""

    def __init__(self, prefix: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix)).resolve()
        self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        """Removes the folder and its content, as far as possible."""
        shutil.rmtree(self.path, ignore_errors=True)
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)


@contextmanager
def temporary_file(prefix: str) -> Iterator[IO[bytes]]:
    """A new file that only the current user can open. The context removes it."""
    with tempfile.NamedTemporaryFile(prefix=prefix) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def remove_leftovers(older_than: timedelta) -> int:
    """Removes abandoned files and folders, and returns their number. Any number of processes may
    do this at once. Younger ones are left alone: their process may be about to lock them.
    """
    before = time.time() - older_than.total_seconds()
    folder = Path(tempfile.gettempdir())
    return sum(
        remove_if_abandoned(path, before)
        for prefix in PREFIXES
        for path in folder.glob(f"{prefix}*")
    )


def remove_if_abandoned(path: Path, before: float) -> bool:
    with suppress(OSError):  # it belongs to another user, or was removed meanwhile
        # A link that another user created is not followed.
        found = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            about = os.fstat(found)
            if about.st_uid != os.geteuid() or about.st_mtime > before:
                return False
            fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        finally:
            os.close(found)
        return True
    return False
