"""The names of the files in an archive."""

from pathlib import PurePosixPath

from media_service.media.filenames import MAX_BYTES

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


def numbered(name: str, number: int) -> str:
    suffix = PurePosixPath(name).suffix
    if len(suffix.encode()) > MAX_SUFFIX_BYTES:
        suffix = ""
    end = f" ({number}){suffix}"
    stem = name.removesuffix(suffix).encode()[: MAX_BYTES - len(end.encode())]
    return stem.decode(errors="ignore") + end
