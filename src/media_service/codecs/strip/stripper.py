"""Writes a file without its metadata, by the plan of a sandboxed child process."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from media_service.codecs.strip.pieces import Piece
from media_service.errors import InvalidArgument, Reason

CHUNK = 1 << 20
# How much larger than the original it may be: by a block with the orientation.
MAX_GROWTH = 1 << 10
MAX_DATA = 1 << 16


def pieces_from(answer: Any, size: int, content_type: str) -> Sequence[Piece]:
    """Validates a plan: a hostile child may answer anything. Raises InvalidArgument
    (METADATA_NOT_REMOVABLE)."""
    try:
        pieces = msgspec.convert(answer, list[Piece])
    except msgspec.ValidationError:
        raise not_removable(content_type) from None
    total = 0
    for piece in pieces:
        valid = 0 <= piece.start <= piece.end <= size and 0 <= piece.zeros <= size
        if not valid or len(piece.data) > MAX_DATA:
            raise not_removable(content_type)
        total += piece.end - piece.start + piece.zeros + len(piece.data) // 2
    if not pieces or not 0 < total <= size + MAX_GROWTH:
        raise not_removable(content_type)
    return pieces


def write(source: Path, pieces: Sequence[Piece], target: Path) -> None:
    with source.open("rb") as original, target.open("wb") as file:
        for piece in pieces:
            for data in content(original, piece):
                file.write(data)


def content(original: BinaryIO, piece: Piece) -> Iterator[bytes]:
    original.seek(piece.start)
    left = piece.end - piece.start
    while left and (data := original.read(min(left, CHUNK))):
        yield data
        left -= len(data)
    yield bytes.fromhex(piece.data)
    for at in range(0, piece.zeros, CHUNK):
        yield bytes(min(CHUNK, piece.zeros - at))


def not_removable(content_type: str) -> InvalidArgument:
    return InvalidArgument(
        Reason.METADATA_NOT_REMOVABLE,
        f"The policy of the project or the organization removes the metadata of originals, which"
        f" cannot be done with this file of the type {content_type}. Convert it to JPEG, PNG, WebP,"
        " MP4 or MP3.",
        content_type=content_type,
    )
