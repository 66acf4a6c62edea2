"""The names of the files in an archive."""

import re
from collections import defaultdict
from pathlib import PurePosixPath

from media_service.media.filenames import MAX_BYTES, clean

# No system has them in the name of a folder.
UNUSABLE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')

MAX_SUFFIX_BYTES = 32


class FileNames:
    """Gives each file a name of its own, also on systems that ignore the case of letters."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}

    def take(self, wanted: str) -> str:
        """ "beach.jpg", and the second time "beach (2).jpg"."""
        name, number = wanted, self._numbers.get(wanted.casefold(), 1)
        while name.casefold() in self._taken:
            number += 1
            name = numbered(wanted, number)
        self._numbers[wanted.casefold()] = number
        self._taken.add(name.casefold())
        return name


class Folders:
    """The folders of an archive, as paths such as "Summer/Sea/". That of the archive itself is
    empty."""

    def __init__(self) -> None:
        self._names: defaultdict[str, FileNames] = defaultdict(FileNames)

    def take(self, folder: str, wanted: str) -> str:
        """A path for a file in a folder."""
        return folder + self._names[folder].take(wanted)

    def open(self, folder: str, title: str) -> str:
        """A folder with a title, in another one."""
        name = UNUSABLE.sub("_", title).strip(" .")
        return self.take(folder, clean(name).rstrip(" .") or "_") + "/"


def numbered(name: str, number: int) -> str:
    suffix = PurePosixPath(name).suffix
    if len(suffix.encode()) > MAX_SUFFIX_BYTES:
        suffix = ""
    end = f" ({number}){suffix}"
    stem = name.removesuffix(suffix).encode()[: MAX_BYTES - len(end.encode())]
    return stem.decode(errors="ignore") + end
