"""Joins the parts in a folder into one file, copying as few bytes as possible."""

import fcntl
import os
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from media_service.failpoints import failpoint
from media_service.storage.driver import StoredPart
from media_service.storage.drivers.local.durable_files import copy_range, too_short
from media_service.storage.drivers.local.slots import FLAGS, open_locked, taken_slots

# The file that everything is copied into if no existing file can become the blob.
JOINED = "joined"


@dataclass(frozen=True, slots=True)
class Extent:
    """The `size` bytes at `offset` of the blob, which are at offset `start` of `file`."""

    offset: int
    size: int
    file: Path
    start: int
    sealed: bool


def extents(folder: Path, parts: Sequence[StoredPart]) -> list[Extent]:
    taken = taken_slots(folder)
    found: list[Extent] = []
    offset = 0
    for part in parts:
        name = part.name.file
        slot = taken.get(name)
        file, start = (slot.file, slot.range.offset) if slot else (folder / name, 0)
        found.append(Extent(offset, part.size, file, start, part.sealed))
        offset += part.size
    return found


def join(folder: Path, parts: Sequence[StoredPart], final: Path) -> None:
    """Joins the parts into the file `final`. Idempotent, even after a crash, because the files that
    bytes are copied from are never modified."""
    whole = extents(folder, parts)
    size = sum(extent.size for extent in whole)
    path, fd = open_base(folder, whole)
    try:
        in_place = [extent for extent in whole if extent.file == path]
        end = max((extent.offset + extent.size for extent in in_place), default=0)
        if os.fstat(fd).st_size < end:
            raise too_short(end)
        elsewhere = [extent for extent in whole if extent.file != path]
        for extent in elsewhere:
            copy_range(fd, extent.offset, extent.file, extent.start, extent.size)
        failpoint("local.join.copied")
        if elsewhere or os.fstat(fd).st_size != size:
            os.truncate(fd, size)  # drops uncommitted bytes, and those of an earlier attempt
            os.fsync(fd)
        failpoint("local.join.written")
        path.rename(final)
        failpoint("local.join.renamed")
    except OSError:
        with suppress(OSError):  # free the space on a full disk
            (folder / JOINED).unlink()
        raise
    finally:
        os.close(fd)


def open_base(folder: Path, whole: Sequence[Extent]) -> tuple[Path, int]:
    """Opens the file that has the most bytes at their final offsets and that no writer has open. If
    there is none, opens an empty file."""
    files: dict[Path, list[Extent]] = defaultdict(list)
    for extent in whole:
        files[extent.file].append(extent)
    # A file with bytes at other offsets is only a source to copy from. A part that is not sealed
    # may still have a live writer, which could append.
    fit = {
        file: sum(extent.size for extent in held)
        for file, held in files.items()
        if all(extent.sealed and extent.start == extent.offset for extent in held)
    }
    for file in sorted(fit, key=fit.__getitem__, reverse=True):
        if (fd := open_locked(file, fcntl.LOCK_EX)) is not None:
            return file, fd
    joined = folder / JOINED
    return joined, os.open(joined, FLAGS | os.O_CREAT | os.O_TRUNC, 0o600)
