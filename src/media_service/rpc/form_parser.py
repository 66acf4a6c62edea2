"""Parses multipart/form-data (RFC 7578) as it streams in.

It runs in the event loop. The work for one message is a search through its bytes, and a bounded
number of steps for each of a bounded number of parts.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

# All fields, each tag and each label in a part of its own, fit.
MAX_PARTS = 200
# Bytes. A file name of 255 bytes, each written as three, fits twice into a header.
MAX_HEADER = 2 << 10
MAX_HEADERS = 8 << 10
MAX_PADDING = 64  # white space behind a boundary
HEADER = re.compile(rb"([!#-'*+.^-z|~\w-]++):[ \t]*+([^\r\n\0]*+)")


class FormError(ValueError):
    """The bytes are not a form. The message says why."""


@dataclass(frozen=True, slots=True)
class PartBegin:
    """The headers of a part, by lower-case name. `size`: their bytes."""

    headers: Mapping[str, str]
    size: int


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The end of a part."""


Event = PartBegin | bytes | PartEnd


class State(Enum):
    BEGIN = auto()
    BOUNDARY = auto()
    HEADERS = auto()
    DATA = auto()
    END = auto()


class FormParser:
    """Keeps only bytes that it cannot interpret yet."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._buffer = b""
        self._at = 0
        self._parts = 0
        self._state = State.BEGIN

    @property
    def ended(self) -> bool:
        """Whether the closing boundary was read."""
        return self._state is State.END

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yields the beginning of each part, its data in pieces, and its end. Raises FormError."""
        if self.ended:  # an epilogue is ignored
            return
        self._buffer = self._buffer[self._at :] + data
        self._at = 0
        progress = True
        while progress and not self.ended:
            before = self._state
            if before is State.DATA:
                yield from self._read_data()
            elif before is State.HEADERS:
                yield from self._read_headers()
            elif before is State.BOUNDARY:
                self._read_boundary()
            else:
                self._read_begin()
            progress = self._state is not before

    def _read_begin(self) -> None:
        text = self._buffer.lstrip(b"\r\n")
        first = self._delimiter.removeprefix(b"\r\n")
        if text.startswith(first):
            self._at = len(self._buffer) - len(text) + len(first)
            self._state = State.BOUNDARY
        elif not first.startswith(text):
            raise FormError("it does not begin with its boundary")
        elif len(self._buffer) > MAX_HEADERS:
            raise FormError("too many line breaks precede its boundary")

    def _read_boundary(self) -> None:
        rest = self._buffer[self._at : self._at + MAX_PADDING + 2]
        line = rest.lstrip(b" \t")
        if rest.startswith(b"--"):
            self._state = State.END
        elif line.startswith(b"\r\n"):
            self._at += len(rest) - len(line) + 2
            self._state = State.HEADERS
            self._parts += 1
            if self._parts > MAX_PARTS:
                raise FormError(f"it has more than {MAX_PARTS} parts")
        elif (line not in {b"", b"\r"} and rest != b"-") or len(rest) == MAX_PADDING + 2:
            raise FormError("a line of a part begins with the boundary, or bytes follow a boundary")

    def _read_headers(self) -> Iterator[Event]:
        if self._buffer.startswith(b"\r\n", self._at):
            end = self._at - 2  # there are no headers
        else:
            end = self._buffer.find(b"\r\n\r\n", self._at, self._at + MAX_HEADERS + 4)
            if end < 0 and len(self._buffer) - self._at <= MAX_HEADERS:
                return
            if end < 0:
                raise FormError(f"the headers of a part are longer than {MAX_HEADERS} bytes")
        block = self._buffer[self._at : max(self._at, end)]
        self._at = end + 4
        self._state = State.DATA
        yield PartBegin(headers_of(block), len(block))

    def _read_data(self) -> Iterator[Event]:
        found = self._buffer.find(self._delimiter, self._at)
        end = self._begun_delimiter() if found < 0 else found
        if end > self._at:
            yield self._buffer[self._at : end]
        self._at = end
        if found >= 0:
            self._at += len(self._delimiter)
            self._state = State.BOUNDARY
            yield PartEnd()

    def _begun_delimiter(self) -> int:
        """Where the buffer ends with the beginning of a delimiter, which contains one CR only."""
        tail = max(self._at, len(self._buffer) - len(self._delimiter) + 1)
        at = self._buffer.rfind(b"\r", tail)
        begun = at >= 0 and self._delimiter.startswith(self._buffer[at:])
        return at if begun else len(self._buffer)


def headers_of(block: bytes) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for line in block.split(b"\r\n") if block else []:
        header = HEADER.fullmatch(line)
        if header is None:
            raise FormError("a part has a malformed header")
        if len(header[2]) > MAX_HEADER:
            raise FormError(f"a header of a part is longer than {MAX_HEADER} bytes")
        headers.setdefault(header[1].decode().lower(), header[2].decode("utf-8", "replace"))
    return headers
