"""Temporary files and folders in TMPDIR that do not stay for ever when their process dies.

Whoever uses one holds the kernel's lock on it, which ends with the process, however that ends: what
can be locked is nobody's any more. Process ids would not tell, for containers that share a /tmp
have each their own.
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


class ScratchFolder:
    """A new folder that only this user can open."""

    def __init__(self, prefix: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix)).resolve()
        self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        """With all that is in it, as far as that is possible."""
        shutil.rmtree(self.path, ignore_errors=True)
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)


@contextmanager
def scratch_file(prefix: str) -> Iterator[IO[bytes]]:
    """A new file that only this user can open, with a name for as long as the context lasts."""
    with tempfile.NamedTemporaryFile(prefix=prefix) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def remove_left_over(older_than: timedelta) -> int:
    """Removes what dead processes left; returns how much. Harmless in many processes at once.

    What is younger is left alone: it may have been made, and be about to be locked.
    """
    before = time.time() - older_than.total_seconds()
    folder = Path(tempfile.gettempdir())
    return sum(
        remove_if_left(path, before) for prefix in PREFIXES for path in folder.glob(f"{prefix}*")
    )


def remove_if_left(path: Path, before: float) -> bool:
    with suppress(OSError):  # another user's, or gone meanwhile
        # A link that somebody else put there is not followed.
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
