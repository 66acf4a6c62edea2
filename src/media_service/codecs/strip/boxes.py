"""MP4, QuickTime, HEIF and AVIF: overwrites metadata in its place, so that no offset changes.

A box with metadata becomes a `free` box of zeros. So do tracks of metadata, such as the places of a
camera, and chapters, together with their samples.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from media_service.codecs.strip.pieces import NotStrippable, Piece, Source, keep, new

MAX_BOXES = 100_000
MAX_RANGES = 200_000
CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"tref", b"edts"}
# What remains of a file, a movie and a track.
OF_FILE = {
    *(b"ftyp", b"moov", b"mdat", b"moof", b"mfra", b"sidx", b"styp", b"ssix", b"prft", b"pdin"),
    *(b"wide", b"imda"),
}
OF_MOVIE = {b"mvhd", b"trak", b"mvex", b"iods", b"pssh"}
PERSONAL = {b"udta", b"meta", b"uuid", b"free", b"skip", b"name"}
# Tracks that are shown or heard, or carry the time code.
SHOWN = {b"vide", b"soun", b"subt", b"sbtl", b"text", b"clcp", b"tmcd", b"pict", b"auxv"}
# Items of HEIF with EXIF, and with XMP.
EXIF_ITEM = b"Exif"
METADATA_ITEMS = {EXIF_ITEM, b"mime", b"uri "}
# The offset of the EXIF block, and a block without tags: decoders refuse an item without a block.
NO_EXIF = bytes(4) + b"II*\0" + struct.pack("<IHI", 8, 0, 0)


@dataclass(frozen=True, slots=True)
class Box:
    kind: bytes
    start: int
    body: int
    end: int


@dataclass
class Overwritten:
    """Ranges that become zeros, and offsets with their new bytes."""

    zeros: list[tuple[int, int]]
    written: list[tuple[int, bytes]]

    def remove(self, box: Box) -> None:
        self.written.append((box.start + 4, b"free"))
        self.zeros.append((box.body, box.end))


def boxes(source: Source, start: int, end: int) -> Iterator[Box]:
    at = start
    for _ in range(MAX_BOXES):
        if at + 8 > end:
            return
        size, kind = struct.unpack(">I4s", source.at(at, 8))
        body = at + 8
        if size == 1:
            (size,) = struct.unpack(">Q", source.at(at + 8, 8))
            body += 8
        elif size == 0:
            size = end - at
        if size < body - at or at + size > end:
            raise NotStrippable
        yield Box(kind, at, body, at + size)
        at += size
    raise NotStrippable


def child(source: Source, parent: Box, *path: bytes) -> Box:
    """Raises NotStrippable if there is none."""
    for kind in path:
        found = [box for box in boxes(source, parent.body, parent.end) if box.kind == kind]
        if not found:
            raise NotStrippable
        parent = found[0]
    return parent


def movie(source: Source) -> Sequence[Piece]:
    done = Overwritten([], [])
    found = list(boxes(source, 0, source.size))
    movies = [box for box in found if box.kind == b"moov"]
    if len(movies) != 1:
        raise NotStrippable
    for box in found:
        if box.kind not in OF_FILE:
            done.remove(box)
    tracks = []
    for box in boxes(source, movies[0].body, movies[0].end):
        if box.kind == b"trak":
            tracks.append(box)
        elif box.kind not in OF_MOVIE:
            done.remove(box)
    if not tracks:  # it may be compressed
        raise NotStrippable
    chapters = {id_ for track in tracks for id_ in chapter_ids(source, track)}
    fragmented = any(box.kind == b"moof" for box in found)
    for track in tracks:
        strip_track(source, track, chapters, done, fragmented=fragmented)
    return pieces(source, done)


def strip_track(
    source: Source, track: Box, chapters: set[int], done: Overwritten, *, fragmented: bool
) -> None:
    handler = child(source, track, b"mdia", b"hdlr")
    shown = source.at(handler.body + 8, 4) in SHOWN
    if shown and track_id(source, track) not in chapters:
        for box in boxes(source, track.body, track.end):
            if box.kind in PERSONAL:
                done.remove(box)
        for box in boxes(source, *inside(child(source, track, b"mdia"))):
            if box.kind in PERSONAL:
                done.remove(box)
        # The name of the handler is free text.
        done.zeros.append((handler.body + 24, handler.end))
        return
    if fragmented:
        raise NotStrippable
    done.zeros += samples(source, child(source, track, b"mdia", b"minf", b"stbl"))
    done.remove(track)


def inside(box: Box) -> tuple[int, int]:
    return box.body, box.end


def track_id(source: Source, track: Box) -> int:
    head = child(source, track, b"tkhd")
    version = source.at(head.body, 1)[0]
    return int.from_bytes(source.at(head.body + (20 if version else 12), 4))


def chapter_ids(source: Source, track: Box) -> list[int]:
    """The tracks that have the chapters of this one."""
    return [
        int.from_bytes(source.at(at, 4))
        for references in boxes(source, track.body, track.end)
        if references.kind == b"tref"
        for box in boxes(source, references.body, references.end)
        if box.kind == b"chap"
        for at in range(box.body, min(box.end, box.body + 4 * 100) - 3, 4)
    ]


def table(source: Source, box: Box, skip: int, form: str) -> list[tuple[int, ...]]:
    """The entries of a table, whose number follows `skip` bytes."""
    (count,) = struct.unpack(">I", source.at(box.body + skip, 4))
    size = struct.calcsize(form)
    if count > MAX_RANGES:
        raise NotStrippable
    return list(struct.iter_unpack(form, source.at(box.body + skip + 4, count * size)))


def samples(source: Source, tables: Box) -> list[tuple[int, int]]:
    """The ranges of all samples of a track."""
    found = {box.kind: box for box in boxes(source, tables.body, tables.end)}
    if not found.keys() >= {b"stsz", b"stsc"}:
        raise NotStrippable
    (each,) = struct.unpack(">I", source.at(found[b"stsz"].body + 4, 4))
    (count,) = struct.unpack(">I", source.at(found[b"stsz"].body + 8, 4))
    if count > MAX_RANGES:
        raise NotStrippable
    sizes = [each] * count
    if not each:
        sizes = [size for (size,) in table(source, found[b"stsz"], 8, ">I")]
    if b"co64" in found:
        offsets = table(source, found[b"co64"], 4, ">Q")
    elif b"stco" in found:
        offsets = table(source, found[b"stco"], 4, ">I")
    else:
        raise NotStrippable
    runs = table(source, found[b"stsc"], 4, ">III")
    ranges, sample = [], 0
    for number, (offset,) in enumerate(offsets, 1):
        per_chunk = next((run[1] for run in reversed(runs) if run[0] <= number), 0)
        size = sum(sizes[sample : sample + per_chunk])
        sample += per_chunk
        if offset + size > source.size:
            raise NotStrippable
        ranges.append((offset, offset + size))
    if sample < count:
        raise NotStrippable
    return ranges


def image(source: Source) -> Sequence[Piece]:
    """HEIF and AVIF. The orientation is a property of the image, not in its EXIF."""
    done = Overwritten([], [])
    found = list(boxes(source, 0, source.size))
    metas = [box for box in found if box.kind == b"meta"]
    if len(metas) != 1 or any(box.kind == b"moov" for box in found):
        raise NotStrippable
    for box in found:
        if box.kind not in OF_FILE | {b"meta"}:
            done.remove(box)
    meta = Box(b"meta", metas[0].start, metas[0].body + 4, metas[0].end)
    items = metadata_items(source, child(source, meta, b"iinf"))
    for kind, ranges in extents(source, meta, items) if items else ():
        (start, end), *others = ranges
        if kind == EXIF_ITEM:
            if end - start < len(NO_EXIF):
                raise NotStrippable
            done.written.append((start, NO_EXIF))
            start += len(NO_EXIF)
        done.zeros += [(start, end), *others]
    return pieces(source, done)


def metadata_items(source: Source, info: Box) -> dict[int, bytes]:
    """The kinds of items with metadata, by id."""
    wide = source.at(info.body, 1)[0] > 0
    found = {}
    for box in boxes(source, info.body + (8 if wide else 6), info.end):
        version = source.at(box.body, 1)[0]
        if box.kind != b"infe" or version not in {2, 3}:
            raise NotStrippable
        width = 2 if version == 2 else 4
        id_ = int.from_bytes(source.at(box.body + 4, width))
        kind = source.at(box.body + 4 + width + 2, 4)
        if kind in METADATA_ITEMS:
            found[id_] = kind
    return found


def extents(
    source: Source, meta: Box, items: Mapping[int, bytes]
) -> list[tuple[bytes, list[tuple[int, int]]]]:
    """The kinds of items, and their ranges."""
    place = child(source, meta, b"iloc")
    data = source.at(place.body, min(place.end - place.body, 1 << 24))
    version, sizes = data[0], int.from_bytes(data[4:6])
    offset_size, length_size = sizes >> 12, sizes >> 8 & 15
    base_size, index_size = sizes >> 4 & 15, sizes & 15 if version in {1, 2} else 0
    at, id_size = 6, 4 if version == 2 else 2

    def number(size: int) -> int:
        nonlocal at
        at += size
        if at > len(data):
            raise NotStrippable
        return int.from_bytes(data[at - size : at])

    found = []
    for _ in range(number(id_size)):
        id_ = number(id_size)
        method = number(2) & 15 if version in {1, 2} else 0
        number(2)
        base, ranges = number(base_size), []
        for _ in range(number(2)):
            number(index_size)
            offset, length = base + number(offset_size), number(length_size)
            if id_ not in items:
                continue
            if method == 1:
                offset += child(source, meta, b"idat").body
            elif method:
                raise NotStrippable
            if not length or offset + length > source.size:
                raise NotStrippable
            ranges.append((offset, offset + length))
        if ranges:
            found.append((items[id_], ranges))
    return found


def pieces(source: Source, done: Overwritten) -> Sequence[Piece]:
    """The file with its overwritten ranges."""
    changes = [(start, end, b"") for start, end in done.zeros if end > start]
    changes += [(start, start + len(data), data) for start, data in done.written]
    result, at = [], 0
    for begin, until, data in sorted(changes):
        start, end = max(begin, at), max(until, at)
        if start > at:
            result.append(keep(at, start))
        if end > start:
            whole = data and (start, end) == (begin, until)
            result.append(new(data) if whole else Piece(zeros=end - start))
        at = end
    return [*result, keep(at, source.size)]
