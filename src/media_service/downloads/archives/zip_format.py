"""The ZIP format: the parts of an archive whose files are stored without compression.

Media are compressed already. Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 to 4.5. The CRC-32
of a file may be unknown when its header is sent; then a data descriptor behind the file has it.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

LOCAL, DESCRIPTOR, CENTRAL = b"PK\x03\x04", b"PK\x07\x08", b"PK\x01\x02"
END, END_64, LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
# Values that do not fit into these are in ZIP64 records.
MAX_16, MAX_32 = 0xFFFF, 0xFFFFFFFF
NEEDS, NEEDS_ZIP64 = 20, 45
UNIX = 3
DESCRIBED, UTF8 = 1 << 3, 1 << 11
REGULAR_FILE = 0o100644 << 16
ZIP64_EXTRA, TIME_EXTRA = 0x0001, 0x5455
TIME_EXTRA_BYTES = 9
FIRST_YEAR, LAST_YEAR = 1980, 2107


@dataclass(frozen=True, slots=True)
class File:
    """A file of an archive. `described`: a data descriptor has its CRC-32. `start`: the offset of
    its header in the archive."""

    name: str
    size_bytes: int
    modified: datetime
    described: bool
    start: int = 0

    @property
    def large(self) -> bool:
        return self.size_bytes >= MAX_32

    @property
    def data_start(self) -> int:
        zip64 = 20 if self.large else 0
        return self.start + 30 + len(self.name.encode()) + zip64 + TIME_EXTRA_BYTES

    @property
    def data_end(self) -> int:
        return self.data_start + self.size_bytes

    @property
    def end(self) -> int:
        descriptor = 24 if self.large else 16
        return self.data_end + (descriptor if self.described else 0)


def dos_time(time: datetime) -> tuple[int, int]:
    """The time and the date of MS-DOS, in UTC, to two seconds."""
    time = time.astimezone(UTC)
    year = min(max(time.year, FIRST_YEAR), LAST_YEAR)
    clock = time.hour << 11 | time.minute << 5 | time.second // 2
    return clock, (year - FIRST_YEAR) << 9 | time.month << 5 | time.day


def time_extra(file: File) -> bytes:
    """The modification time in seconds since 1970, as Info-ZIP writes it."""
    seconds = min(max(int(file.modified.timestamp()), -(2**31)), 2**31 - 1)
    return struct.pack("<HHBi", TIME_EXTRA, 5, 1, seconds)


def local_header(file: File, crc32: int) -> bytes:
    """The header before a file. `crc32` is ignored if a descriptor has it."""
    extra = time_extra(file)
    known = not file.described
    sizes = file.size_bytes if known else 0
    if file.large:
        extra = struct.pack("<HHQQ", ZIP64_EXTRA, 16, sizes, sizes) + extra
        sizes = MAX_32
    name = file.name.encode()
    return (
        LOCAL
        + struct.pack(
            "<HHHHHIIIHH",
            NEEDS_ZIP64 if file.large else NEEDS,
            flags(file),
            0,
            *dos_time(file.modified),
            crc32 if known else 0,
            sizes,
            sizes,
            len(name),
            len(extra),
        )
        + name
        + extra
    )


def flags(file: File) -> int:
    return UTF8 | (DESCRIBED if file.described else 0)


def descriptor(file: File, crc32: int) -> bytes:
    sizes = "QQ" if file.large else "II"
    return DESCRIPTOR + struct.pack(f"<I{sizes}", crc32, file.size_bytes, file.size_bytes)


def central_header(file: File, crc32: int) -> bytes:
    """The header of a file in the central directory."""
    numbers = b""
    if file.large:
        numbers += struct.pack("<QQ", file.size_bytes, file.size_bytes)
    far = file.start >= MAX_32
    if far:
        numbers += struct.pack("<Q", file.start)
    extra = time_extra(file)
    if numbers:
        extra = struct.pack("<HH", ZIP64_EXTRA, len(numbers)) + numbers + extra
    needs = NEEDS_ZIP64 if numbers else NEEDS
    size = MAX_32 if file.large else file.size_bytes
    name = file.name.encode()
    return (
        CENTRAL
        + struct.pack(
            "<BBHHHHHIIIHHHHHII",
            NEEDS_ZIP64,
            UNIX,
            needs,
            flags(file),
            0,
            *dos_time(file.modified),
            crc32,
            size,
            size,
            len(name),
            len(extra),
            0,
            0,
            0,
            REGULAR_FILE,
            MAX_32 if far else file.start,
        )
        + name
        + extra
    )


def end_records(files: int, start: int, size: int) -> bytes:
    """What follows the central directory, which has `files` headers, starts at `start` and has
    `size` bytes."""
    zip64 = files >= MAX_16 or start >= MAX_32 or size >= MAX_32
    records = b""
    if zip64:
        records += END_64 + struct.pack(
            "<QBBHIIQQQQ", 44, NEEDS_ZIP64, UNIX, NEEDS_ZIP64, 0, 0, files, files, size, start
        )
        records += LOCATOR_64 + struct.pack("<IQI", 0, start + size, 1)
    return (
        records
        + END
        + struct.pack(
            "<HHHHIIH",
            0,
            0,
            min(files, MAX_16),
            min(files, MAX_16),
            min(size, MAX_32),
            min(start, MAX_32),
            0,
        )
    )


def archive_size(files: Iterable[File]) -> tuple[int, int]:
    """Where the central directory starts, and the size of the archive. `files` in order."""
    count = start = directory = 0
    for file in files:
        count += 1
        start = file.end
        directory += len(central_header(file, 0))
    return start, start + directory + len(end_records(count, start, directory))
