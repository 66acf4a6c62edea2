"""Where a download goes: a file that is either whole or not there, or a stream."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from media_service_client.errors import MediaServiceError
from media_service_client.retry import is_transient

PIECE = 1 << 20


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


class FileTarget:
    """A path. Bytes go to a `.part` file beside it, which takes its name once it is whole.

    The part file's name is unique: two downloads to one path do not write into each other.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name[:60]}.{uuid.uuid4().hex[-12:]}.part")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        self._file = open(os.open(self._part, flags, 0o666), "wb", buffering=0)  # noqa: PTH123, SIM115

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def flush(self) -> None:
        os.fsync(self._file.fileno())  # or a power cut could leave the name without its bytes

    def __enter__(self) -> Self:
        return self

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


class ResumableTarget:
    """A path. Bytes go to a `.part` file beside it, which stays if the download is interrupted, for
    the next download of the same content to this path. `content` identifies the content.

    Two downloads at a time write the same bytes to the same places.
    """

    def __init__(self, path: Path, content: str) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name[:60]}.{content}.part")
        flags = os.O_RDWR | os.O_CREAT
        self._file = open(os.open(self._part, flags, 0o666), "r+b", buffering=0)  # noqa: PTH123, SIM115

    def left(self) -> Iterator[bytes]:
        """The bytes that an interrupted download left. The next ones are written behind them."""
        self._file.seek(0)
        while piece := self._file.read(PIECE):
            yield piece

    def discard(self) -> None:
        """Forgets what an interrupted download left."""
        self._file.seek(0)
        self._file.truncate()

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def flush(self) -> None:
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._publish()
            elif not self._file.tell() or is_final(error):
                self._part.unlink(missing_ok=True)
        finally:
            self._file.close()

    def _publish(self) -> None:
        try:
            self._part.replace(self._path)
        except FileNotFoundError:  # another download did it
            if not self._path.exists():
                raise


def is_final(error: BaseException | None) -> bool:
    """Whether another try would fail as well."""
    return isinstance(error, MediaServiceError) and not is_transient(error)


Downloadable = str | os.PathLike[str] | BinaryIO


def open_target(target: Downloadable) -> Target:
    """Opens a path or takes a binary file object as it is."""
    if isinstance(target, str | os.PathLike):
        return FileTarget(Path(target))
    return StreamTarget(target)
