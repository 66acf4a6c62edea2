"""What is uploaded: bytes that can be read again from any position, as often as a break asks."""

import io
import os
import re
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from crc32c import crc32c as crc32c_of
from grpc import StatusCode

from media_service_client.errors import MediaServiceError

PIECE = 1 << 19  # bytes; larger messages are slower over gRPC, as are smaller ones
MARK_EVERY = 1 << 23  # bytes between two remembered checksums


class Content(Protocol):
    """Bytes of a known size. Reading is positional, so several readers never disturb each other."""

    size: int

    def read(self, offset: int, length: int) -> bytes: ...
    def is_unchanged(self) -> bool: ...
    def close(self) -> None: ...


class BytesContent:
    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._data = memoryview(data).cast("B")
        self.size = len(self._data)

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self._data[offset : offset + length])

    def is_unchanged(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing to do: the bytes are the caller's."""


class FileContent:
    """A file on disk, from `start` to the end it had when it was opened."""

    def __init__(self, file: BinaryIO, start: int = 0, *, owned: bool = True) -> None:
        self._file = file
        self._start = start
        self._owned = owned
        self._seen = self._look()
        self.size = max(0, self._seen[0] - start)

    def _look(self) -> tuple[int, int]:
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._file.fileno(), length, self._start + offset)

    def is_unchanged(self) -> bool:
        return self._look() == self._seen

    def close(self) -> None:
        if self._owned:
            self._file.close()


class Source:
    """Content with the running CRC32C of what has been read of it."""

    def __init__(self, content: Content, filename: str) -> None:
        self._content = content
        self.size = content.size
        self.filename = filename
        self._marks = {0: 0}  # position → CRC32C of everything before it

    def read(self, offset: int) -> bytes:
        """The next piece; raises SOURCE_CHANGED if the bytes are no longer there."""
        length = min(PIECE, self.size - offset)
        data = self._content.read(offset, length)
        while len(data) < length:
            more = self._content.read(offset + len(data), length - len(data))
            if not more:
                raise self._changed()
            data += more
        return data

    def mark(self, offset: int, crc32c: int) -> None:
        """Remembers the checksum of the first `offset` bytes, so that a resume need not read."""
        if offset % MARK_EVERY == 0 or offset == self.size:
            self._marks[offset] = crc32c

    def crc32c(self, offset: int) -> int:
        """CRC32C of the first `offset` bytes."""
        position = max(mark for mark in self._marks.copy() if mark <= offset)
        return self.crc32c_of(position, offset, self._marks[position])

    def crc32c_of(self, start: int, end: int, crc: int = 0) -> int:
        """CRC32C of bytes [start, end), behind those whose CRC32C is `crc`."""
        while start < end:
            data = self.read(start)[: end - start]
            crc = crc32c_of(data, crc)
            start += len(data)
        return crc

    def require_unchanged(self) -> None:
        """Raises SOURCE_CHANGED if a file was written to since it was opened."""
        if not self._content.is_unchanged():
            raise self._changed()

    def _changed(self) -> MediaServiceError:
        name = self.filename or "the source"
        return MediaServiceError(
            StatusCode.FAILED_PRECONDITION,
            "SOURCE_CHANGED",
            f"{name} changed while it was uploaded; nothing was stored, upload it again",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._content.close()


Uploadable = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO


def clean(name: str) -> str:
    """A file name as the service takes it: valid UTF-8, no path or control characters."""
    text = os.fsencode(name).decode(errors="replace")
    return re.sub(r"[/\\\x00-\x1f\x7f]", "_", text)


def on_disk(file: BinaryIO) -> bool:
    """Whether the file's own descriptor gives its bytes (a GzipFile's does not)."""
    raw = file.raw if isinstance(file, io.BufferedReader | io.BufferedRandom) else file
    return isinstance(raw, io.FileIO) and file.seekable()


def spool(file: BinaryIO) -> BinaryIO:
    """Copies what cannot be read twice to a temporary file, which goes when it is closed."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - FileContent closes it
    try:
        shutil.copyfileobj(file, copy, 1 << 20)
        copy.flush()
    except BaseException:
        copy.close()
        raise
    return copy


def open_source(source: Uploadable) -> Source:
    """Opens a path, bytes, or a binary file, which is read from where it stands to its end.

    A file that cannot be read twice (a pipe, an archive member) is copied to disk first.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return Source(BytesContent(source), "")
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        return Source(FileContent(path.open("rb", buffering=0)), clean(path.name))
    name = getattr(source, "name", "")
    filename = clean(Path(name).name) if isinstance(name, str) and name[:1] != "<" else ""
    if on_disk(source):
        return Source(FileContent(source, source.tell(), owned=False), filename)
    return Source(FileContent(spool(source)), filename)
