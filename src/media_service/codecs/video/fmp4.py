"""Fragmented MP4 (ISO/IEC 14496-12), as ffmpeg writes it into a pipe: cut into the pieces of which
streams are made, and moved to their place in time."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from media_service.codecs.sandbox.exit_cause import corrupt

# Of the head of a movie, and of a fragment; what is larger was not written by an honest ffmpeg.
LONGEST_HEAD = 1 << 20
LONGEST = 256 << 20
# Boxes that hold others.
INSIDE = {b"moof", b"traf", b"moov", b"trak", b"mdia", b"minf", b"stbl"}
# Flags of `tfhd` and `trun`, and how many bytes the field takes that they announce.
TFHD_FIELDS = ((0x1, 8), (0x2, 4))
TFHD_DURATION, TFHD_SIZE = 0x8, 0x10
TRUN_OFFSET, TRUN_FIRST_FLAGS = 0x1, 0x4
TRUN_DURATION, TRUN_SIZE, TRUN_FLAGS, TRUN_CTS = 0x100, 0x200, 0x400, 0x800


@dataclass(frozen=True, slots=True)
class InitSegment:
    """The initialisation segment: what a player needs before any fragment."""

    data: bytes

    @property
    def codec(self) -> str:
        """As RFC 6381 has it, e.g. "avc1.64001f"."""
        at = self.data.find(b"avcC")
        if at >= 0 and len(self.data) >= at + 8:
            return f"avc1.{self.data[at + 5 : at + 8].hex()}"
        if b"mp4a" in self.data:
            return "mp4a.40.2"  # AAC-LC, which is all that is written
        raise corrupt("It was encoded as something unknown.")


@dataclass(frozen=True, slots=True)
class Fragment:
    """`start`, `duration`: in ticks of its track. `first_bytes`: up to the end of its first sample,
    which for pictures is one that can be shown by itself."""

    data: bytes
    start: int
    duration: int
    first_bytes: int

    def shifted(self, ticks: int, number: int) -> bytes:
        """The same, so much later, as the one of this number (from 1)."""
        data = bytearray(self.data)
        for kind, start, _ in walk(data, 0, len(data)):
            if kind == b"mfhd":
                struct.pack_into(">I", data, start + 4, number)
            elif kind == b"tfdt":
                if data[start] != 1:  # ffmpeg writes 64 bits where it writes for CMAF
                    raise corrupt("It was encoded with times that are too short.")
                struct.pack_into(">Q", data, start + 4, self.start + ticks)
        return bytes(data)


def walk(data: bytes | bytearray, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes, and those in them, each by its type and where its content begins and ends."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        if size < 8 or start + size > end:
            raise corrupt("It was encoded into something that is no MP4.")
        yield kind, start + 8, start + size
        if kind in INSIDE:
            yield from walk(data, start + 8, start + size)
        start += size


def fragment(head: bytes, content: bytes) -> Fragment:
    """Of a `moof` box and the `mdat` box behind it."""
    start = duration = first = each_duration = each_size = 0
    for kind, at, _ in walk(head, 0, len(head)):
        if kind == b"tfdt":
            start = struct.unpack_from(">Q" if head[at] else ">I", head, at + 4)[0]
        elif kind == b"tfhd":
            each_duration, each_size = defaults(head, at)
        elif kind == b"trun":
            duration, first = run(head, at, each_duration, each_size)
    if not duration:
        raise corrupt("It was encoded into fragments without samples.")
    return Fragment(head + content, start, duration, len(head) + 8 + first)


def defaults(data: bytes, at: int) -> tuple[int, int]:
    """How long and how large samples are of which nothing is said, by a `tfhd` box."""
    flags = int.from_bytes(data[at + 1 : at + 4])
    place = at + 8 + sum(size for flag, size in TFHD_FIELDS if flags & flag)
    found = []
    for flag in (TFHD_DURATION, TFHD_SIZE):
        value = 0
        if flags & flag:
            (value,) = struct.unpack_from(">I", data, place)
            place += 4
        found.append(value)
    return found[0], found[1]


def run(data: bytes, at: int, each_duration: int, each_size: int) -> tuple[int, int]:
    """How long all samples of a `trun` box are, and how large the first is."""
    flags, count = int.from_bytes(data[at + 1 : at + 4]), struct.unpack_from(">I", data, at + 4)[0]
    place = at + 8 + 4 * bool(flags & TRUN_OFFSET) + 4 * bool(flags & TRUN_FIRST_FLAGS)
    fields = [f for f in (TRUN_DURATION, TRUN_SIZE, TRUN_FLAGS, TRUN_CTS) if flags & f]
    step = 4 * len(fields)
    if place + count * step > len(data):
        raise corrupt("It was encoded into a fragment that is not whole.")
    duration, first = each_duration * count, each_size
    if TRUN_DURATION in fields:
        duration = sum(struct.unpack_from(">I", data, place + i * step)[0] for i in range(count))
    if TRUN_SIZE in fields and count:
        (first,) = struct.unpack_from(">I", data, place + 4 * fields.index(TRUN_SIZE))
    return duration, first


class FragmentParser:
    """Cuts what comes, in whatever pieces, into a head and fragments."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._head = b""
        self._moof = b""

    def feed(self, piece: bytes) -> Iterator[InitSegment | Fragment]:
        """What became whole by this piece. Raises InvalidArgument (MEDIA_CORRUPT)."""
        self._data += piece
        while (box := self._next()) is not None:
            kind = bytes(box[4:8])
            if kind in {b"ftyp", b"moov"}:
                self._head += box
                if kind == b"moov":
                    yield InitSegment(self._head)
            elif kind == b"moof":
                self._moof = box
            elif kind == b"mdat" and self._moof:
                yield fragment(self._moof, box)
                self._moof = b""

    def _next(self) -> bytes | None:
        """The next whole box."""
        if len(self._data) < 8:
            return None
        size = int.from_bytes(self._data[:4])
        if not 8 <= size <= (LONGEST if self._data[4:8] == b"mdat" else LONGEST_HEAD):
            raise corrupt("It was encoded into something that is no MP4.")
        if len(self._data) < size:
            return None
        box = bytes(self._data[:size])
        del self._data[:size]
        return box
