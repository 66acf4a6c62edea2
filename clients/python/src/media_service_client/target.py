"""Where a download goes: a file that is either whole or not there, or a stream."""

import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from media_service_client.errors import MediaServiceError
from media_service_client.retry import is_transient

PIECE = 1 << 20
# Between opening and locking a part file, another download may rename it.
LOCK_TRIES = 10


class Target(Protocol):
    """Takes bytes in order. Leaving its `with` block in peace makes them final."""

    def write(self, data: bytes) -> None: ...
    def flush(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class StreamTarget:
    """A file object of the caller's, which stays open."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to do: the file is the caller's."""


class PartFile:
    """A file of bytes that are not final yet."""

    def __init__(self, file: FileIO) -> None:
        self._file = file

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def flush(self) -> None:
        os.fsync(self._file.fileno())  # or a power cut could leave the name without its bytes

    def __enter__(self) -> Self:
        return self


class FileTarget(PartFile):
    """A path. Bytes go to a `.part` file beside it, which takes its name once it is whole.

    The part file's name is unique: two downloads to one path do not write into each other.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name[:60]}.{uuid.uuid4().hex[-12:]}.part")
        super().__init__(open_file(self._part, os.O_EXCL))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._part.replace(self._path)
        finally:
            self._file.close()
            self._part.unlink(missing_ok=True)


class ResumableTarget(PartFile):
    """A path. Bytes go to a `.part` file beside it, which stays if the download is interrupted, for
    the next download of the same content to this path. `content` identifies the content.

    While another download writes to that part file, and where files cannot be locked, this one has
    a part file of its own, which does not stay.
    """

    def __init__(self, path: Path, content: str) -> None:
        self._path = path
        name = f"{path.name[:60]}.{content}"
        part = path.with_name(f"{name}.part")
        file = open_locked(part)
        self._stays = file is not None
        if file is None:
            part = path.with_name(f"{name}.{uuid.uuid4().hex[-12:]}.part")
            file = open_file(part, os.O_EXCL)
        self._part = part
        super().__init__(file)

    def left(self) -> Iterator[bytes]:
        """The bytes that an interrupted download left. The next ones are written behind them."""
        self._file.seek(0)
        while piece := self._file.read(PIECE):
            yield piece

    def discard(self) -> None:
        """Forgets what an interrupted download left."""
        self._file.seek(0)
        self._file.truncate()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._part.replace(self._path)
            elif not (self._stays and self._file.tell()) or is_final(error):
                self._part.unlink(missing_ok=True)
        finally:
            self._file.close()  # which ends the lock


def open_file(path: Path, flags: int = 0) -> FileIO:
    """Opens a file to read and write. Creates it if it does not exist."""
    return FileIO(os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o666), "r+")


def open_locked(path: Path) -> FileIO | None:
    """Opens a file that nobody else has locked, and locks it until it is closed. Returns None if
    that is not possible."""
    for _ in range(LOCK_TRIES):
        file = open_file(path)
        if not lock(file):
            file.close()
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), os.fstat(file.fileno())):  # noqa: PTH116
                return file
        file.close()  # the last download renamed or removed it meanwhile
    return None


def lock(file: FileIO) -> bool:
    try:
        import fcntl  # noqa: PLC0415 - POSIX only
    except ImportError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_final(error: BaseException | None) -> bool:
    """Whether another try would fail as well."""
    return isinstance(error, MediaServiceError) and not is_transient(error)


Downloadable = str | os.PathLike[str] | BinaryIO


def open_target(target: Downloadable) -> Target:
    """Opens a path or takes a binary file object as it is."""
    if isinstance(target, str | os.PathLike):
        return FileTarget(Path(target))
    return StreamTarget(target)
