"""MP3, FLAC and WAV: keeps the audio, and drops tags, covers and what editors add."""

import struct
from collections.abc import Sequence

from media_service.codecs.strip.pieces import NotStrippable, Piece, Source, keep, new

ID3V1_BYTES, APE_BYTES = 128, 32
STREAM_INFO, SEEK_TABLE = 0, 3
LAST = 0x80
WAV_CHUNKS = {b"fmt ", b"data", b"fact"}


def mp3(source: Source) -> Sequence[Piece]:
    start, end = 0, source.size
    while (head := source.text(start, 10))[:3] == b"ID3" and len(head) == 10:
        size = 0
        for each in head[6:]:
            size = size << 7 | each & 0x7F
        start += 10 + size + (10 if head[5] & 0x10 else 0)
    while True:
        if end >= ID3V1_BYTES and source.text(end - ID3V1_BYTES, 3) == b"TAG":
            end -= ID3V1_BYTES
            continue
        foot = source.text(max(0, end - APE_BYTES), APE_BYTES)
        if foot[:8] != b"APETAGEX":
            break
        size, _, flags = struct.unpack_from("<III", foot, 12)
        end -= size + (APE_BYTES if flags & 1 << 31 else 0)
    if start >= end or source.at(start, 1) != b"\xff":
        raise NotStrippable
    return [keep(start, end)]


def flac(source: Source) -> Sequence[Piece]:
    if source.at(0, 4) != b"fLaC":
        raise NotStrippable
    kept, at, last = [], 4, False
    while not last:
        head = source.at(at, 4)
        last, kind = bool(head[0] & LAST), head[0] & ~LAST
        end = at + 4 + int.from_bytes(head[1:])
        if kind in {STREAM_INFO, SEEK_TABLE}:
            kept.append((kind, at, end))
        at = end
    pieces = [keep(0, 4)]
    for number, (kind, begin, end) in enumerate(kept, 1):
        flag = LAST if number == len(kept) else 0
        pieces += [new(bytes([kind | flag])), keep(begin + 1, end)]
    return [*pieces, keep(at, source.size)]


def wav(source: Source) -> Sequence[Piece]:
    riff, _, form = struct.unpack("<4sI4s", source.at(0, 12))
    if (riff, form) != (b"RIFF", b"WAVE"):
        raise NotStrippable
    kept, total, at = [], 4, 12
    while at + 8 <= source.size:
        kind, length = struct.unpack("<4sI", source.at(at, 8))
        end = min(at + 8 + length + length % 2, source.size)
        if kind in WAV_CHUNKS:
            kept.append(keep(at, end))
            total += end - at
        at = end
    return [new(struct.pack("<4sI4s", b"RIFF", total, b"WAVE")), *kept]
