"""Parses the fragmented MP4 (ISO/IEC 14496-12) that ffmpeg writes to a pipe into the segments of a
stream, and shifts their time stamps."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from media_service.codecs.sandbox.exit_cause import corrupt

# The maximum size of header boxes. ffmpeg never writes larger ones.
MAX_HEADER_BYTES = 1 << 20
MAX_MDAT_BYTES = 256 << 20
CONTAINER_BOXES = {b"moof", b"traf", b"moov", b"trak", b"mdia", b"minf", b"stbl"}
# Flags of `tfhd` and the size of the fields they announce, before those that are read here.
TFHD_SKIPPED_FIELDS = ((0x1, 8), (0x2, 4))
TFHD_DURATION, TFHD_SIZE = 0x8, 0x10
TRUN_OFFSET, TRUN_FIRST_FLAGS = 0x1, 0x4
TRUN_DURATION, TRUN_SIZE, TRUN_FLAGS, TRUN_CTS = 0x100, 0x200, 0x400, 0x800


@dataclass(frozen=True, slots=True)
class InitSegment:
    """The initialization segment, which a player needs before any fragment."""

    data: bytes

    @property
    def codec(self) -> str:
        """The codec as in RFC 6381, such as "avc1.64001f"."""
        at = self.data.find(b"avcC")
        if at >= 0 and len(self.data) >= at + 8:
            return f"avc1.{self.data[at + 5 : at + 8].hex()}"
        if b"mp4a" in self.data:
            return "mp4a.40.2"  # AAC-LC, the only audio codec of streams
        raise corrupt("The encoder wrote an unknown codec.")


@dataclass(frozen=True, slots=True)
class Fragment:
    """A fragment of a track. `start` and `duration` are in ticks of the track. `first_bytes` is the
    size up to the end of the first sample, which is a key frame in a video track."""

    data: bytes
    start: int
    duration: int
    first_bytes: int

    def shifted(self, ticks: int, number: int) -> bytes:
        """Returns the fragment, shifted by `ticks`, with the sequence number `number` (from 1)."""
        data = bytearray(self.data)
        for kind, start, _ in walk_boxes(data, 0, len(data)):
            if kind == b"mfhd":
                struct.pack_into(">I", data, start + 4, number)
            elif kind == b"tfdt":
                if data[start] != 1:  # for CMAF, ffmpeg writes times of 64 bits
                    raise corrupt("The encoder wrote times of 32 bits.")
                (written,) = struct.unpack_from(">Q", data, start + 4)
                struct.pack_into(">Q", data, start + 4, written + ticks)
        return bytes(data)

    def joined(self, following: "Fragment") -> "Fragment":
        """This fragment and the one that follows it as one segment."""
        duration = self.duration + following.duration
        return replace(self, data=self.data + following.data, duration=duration)


def walk_boxes(data: bytes | bytearray, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yields all boxes, including nested ones, as type, begin and end of the content."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        if size < 8 or start + size > end:
            raise corrupt("The encoder did not write MP4.")
        yield kind, start + 8, start + size
        if kind in CONTAINER_BOXES:
            yield from walk_boxes(data, start + 8, start + size)
        start += size


def parse_fragment(moof: bytes, mdat: bytes) -> Fragment:
    start = duration = first_size = default_duration = default_size = 0
    for kind, at, _ in walk_boxes(moof, 0, len(moof)):
        if kind == b"tfdt":
            start = struct.unpack_from(">Q" if moof[at] else ">I", moof, at + 4)[0]
        elif kind == b"tfhd":
            default_duration, default_size = parse_tfhd(moof, at)
        elif kind == b"trun":
            duration, first_size = parse_trun(moof, at, default_duration, default_size)
    if not duration:
        raise corrupt("The encoder wrote a fragment without samples.")
    return Fragment(moof + mdat, start, duration, len(moof) + 8 + first_size)


def parse_tfhd(data: bytes, at: int) -> tuple[int, int]:
    """Returns the default duration and size of samples. 0 means not given."""
    flags = int.from_bytes(data[at + 1 : at + 4])
    offset = at + 8 + sum(size for flag, size in TFHD_SKIPPED_FIELDS if flags & flag)
    values = []
    for flag in (TFHD_DURATION, TFHD_SIZE):
        value = 0
        if flags & flag:
            (value,) = struct.unpack_from(">I", data, offset)
            offset += 4
        values.append(value)
    return values[0], values[1]


def parse_trun(data: bytes, at: int, default_duration: int, default_size: int) -> tuple[int, int]:
    """The duration of all samples, and the size of the first."""
    flags, count = int.from_bytes(data[at + 1 : at + 4]), struct.unpack_from(">I", data, at + 4)[0]
    offset = at + 8 + 4 * bool(flags & TRUN_OFFSET) + 4 * bool(flags & TRUN_FIRST_FLAGS)
    fields = [f for f in (TRUN_DURATION, TRUN_SIZE, TRUN_FLAGS, TRUN_CTS) if flags & f]
    step = 4 * len(fields)
    if offset + count * step > len(data):
        raise corrupt("The encoder wrote an incomplete fragment.")
    duration, first_size = default_duration * count, default_size
    if TRUN_DURATION in fields:
        duration = sum(struct.unpack_from(">I", data, offset + i * step)[0] for i in range(count))
    if TRUN_SIZE in fields and count:
        (first_size,) = struct.unpack_from(">I", data, offset + 4 * fields.index(TRUN_SIZE))
    return duration, first_size


class FragmentParser:
    """Takes data in arbitrary portions, and yields the init segment and the fragments. A fragment
    of less than `shortest` ticks is joined to the one before it; so each is held back until the
    next one is known."""

    def __init__(self, shortest: int = 0) -> None:
        self._shortest = shortest
        self._held: Fragment | None = None
        self._data = bytearray()
        self._init = b""
        self._moof = b""

    def feed(self, data: bytes) -> Iterator[InitSegment | Fragment]:
        """Yields the segments that `data` completes. Raises InvalidArgument (MEDIA_CORRUPT)."""
        self._data += data
        while (box := self._next_box()) is not None:
            kind = bytes(box[4:8])
            if kind in {b"ftyp", b"moov"}:
                self._init += box
            elif kind == b"moof":
                self._moof = box
            elif kind == b"mdat" and self._moof:
                if self._init:  # a track without samples has none, either
                    yield InitSegment(self._init)
                    self._init = b""
                yield from self._joined(parse_fragment(self._moof, box))
                self._moof = b""

    def end(self) -> Iterator[Fragment]:
        """Yields what was held back."""
        if self._held:
            yield self._held

    def _joined(self, fragment: Fragment) -> Iterator[Fragment]:
        if not self._shortest:
            yield fragment
        elif self._held and fragment.duration < self._shortest:
            self._held = self._held.joined(fragment)
        else:
            yield from self.end()
            self._held = fragment

    def _next_box(self) -> bytes | None:
        """The next complete box."""
        if len(self._data) < 8:
            return None
        size = int.from_bytes(self._data[:4])
        limit = MAX_MDAT_BYTES if self._data[4:8] == b"mdat" else MAX_HEADER_BYTES
        if not 8 <= size <= limit:
            raise corrupt("The encoder did not write MP4.")
        if len(self._data) < size:
            return None
        box = bytes(self._data[:size])
        del self._data[:size]
        return box
