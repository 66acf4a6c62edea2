"""Makes one file of the parts in a folder, copying as few bytes as it can."""

import fcntl
import os
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from media_service.failpoints import failpoint
from media_service.storage.driver import StoredPart
from media_service.storage.files import copy_range, short
from media_service.storage.slots import FLAGS, open_locked, slots

# What everything is copied to, where no file can become the blob.
JOINED = "joined"


@dataclass(frozen=True, slots=True)
class Piece:
    """`size` bytes of the whole, from `offset` on, that lie in `file` from `start` on."""

    offset: int
    size: int
    file: Path
    start: int
    sealed: bool


def pieces(folder: Path, parts: Sequence[StoredPart]) -> list[Piece]:
    given = slots(folder)
    found: list[Piece] = []
    offset = 0
    for part in parts:
        name = part.name.file
        slot = given.get(name)
        file, start = (slot.file, slot.place.offset) if slot else (folder / name, 0)
        found.append(Piece(offset, part.size, file, start, part.sealed))
        offset += part.size
    return found


def join(folder: Path, parts: Sequence[StoredPart], final: Path) -> None:
    """Idempotent, also after a crash halfway: what is copied from is not written to."""
    whole = pieces(folder, parts)
    size = sum(piece.size for piece in whole)
    path, fd = open_base(folder, whole)
    try:
        in_place = [piece for piece in whole if piece.file == path]
        end = max((piece.offset + piece.size for piece in in_place), default=0)
        if os.fstat(fd).st_size < end:
            raise short(end)
        missing = [piece for piece in whole if piece.file != path]
        for piece in missing:
            copy_range(fd, piece.offset, piece.file, piece.start, piece.size)
        failpoint("local.join.copied")
        if missing or os.fstat(fd).st_size != size:
            os.truncate(fd, size)  # what was never counted, or an earlier attempt appended
            os.fsync(fd)
        failpoint("local.join.written")
        path.rename(final)
        failpoint("local.join.renamed")
    except OSError:
        with suppress(OSError):  # or a full disk would stay full
            (folder / JOINED).unlink()
        raise
    finally:
        os.close(fd)


def open_base(folder: Path, whole: Sequence[Piece]) -> tuple[Path, int]:
    """The file that has most of the bytes where they belong, and that nobody writes to any more;
    an empty one if there is none."""
    files: dict[Path, list[Piece]] = defaultdict(list)
    for piece in whole:
        files[piece.file].append(piece)
    # A file that also has bytes elsewhere is copied from. Who writes a part that is not sealed may
    # still be alive somewhere, and append.
    fit = {
        file: sum(piece.size for piece in lying)
        for file, lying in files.items()
        if all(piece.sealed and piece.start == piece.offset for piece in lying)
    }
    for file in sorted(fit, key=fit.__getitem__, reverse=True):
        if (fd := open_locked(file, fcntl.LOCK_EX)) is not None:
            return file, fd
    joined = folder / JOINED
    return joined, os.open(joined, FLAGS | os.O_CREAT | os.O_TRUNC, 0o600)
