"""A directory that is held open, to notice that its path leads elsewhere: its disk was unmounted,
or another directory has taken its place."""

import os
from pathlib import Path
from typing import Self


class HeldPlace:
    """While the directory is open, no other one can have its device and inode number. `marker` is a
    file in it."""

    def __init__(self, directory: Path, marker: Path) -> None:
        self._directory, self._marker = directory, marker
        self.content = marker.read_bytes()
        self._fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._identity = identity(os.fstat(self._fd))

    @property
    def in_place(self) -> bool:
        try:
            self._marker.stat()
            return identity(self._directory.stat()) == self._identity
        except OSError:
            return False

    def again(self) -> Self | None:
        """Holds the directory anew if the path leads to the same marker, for example because the
        disk is mounted again. Returns None otherwise."""
        try:
            fresh = type(self)(self._directory, self._marker)
        except OSError:
            return None
        if fresh.content == self.content:
            return fresh
        fresh.close()
        return None

    def close(self) -> None:
        os.close(self._fd)


def identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
