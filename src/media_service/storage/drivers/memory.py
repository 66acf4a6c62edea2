"""Blobs in the memory of this process: `memory://`. For tests and experiments.

It has the same guarantees as the other drivers, except that nothing survives a restart.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path

from media_service.clock import now
from media_service.storage.buffer import Buffer
from media_service.storage.driver import (
    Driver,
    ExpectedRange,
    ObjectInfo,
    OpenBlob,
    PartLimits,
    PartName,
    StoredPart,
    blob_missing,
    require_blob,
)
from media_service.storage.epoch_named_parts import EpochNamedParts
from media_service.storage.piece_size import PieceSize, bytes_of
from media_service.storage.unsigned_driver import UnsignedDriver

SCHEME = "memory"


def open_driver(url: str) -> Driver:
    return MemoryDriver()


class MemoryPartWriter:
    resent = False

    def __init__(self, parts: dict[PartName, bytearray], name: PartName) -> None:
        self._parts = parts
        self._name = name
        self._data = parts[name] = bytearray()
        self._sealed = False

    async def write(self, buffers: Sequence[Buffer]) -> None:
        if self._sealed:
            raise RuntimeError("write to a sealed part")
        for data in buffers:
            self._data += data

    async def sync(self) -> int:
        return len(self._data)

    async def seal(self) -> None:
        self._sealed = True

    async def discard(self) -> None:
        self._sealed = True
        self._parts.pop(self._name, None)


class MemoryDriver(UnsignedDriver, EpochNamedParts):
    limits = PartLimits()

    def __init__(self) -> None:
        self._open: dict[str, dict[PartName, bytearray]] = {}
        self._touched: dict[str, datetime] = {}
        self._blobs: dict[str, tuple[bytes, ObjectInfo]] = {}

    def overlaps(self, other: Driver) -> bool:
        return other is self

    async def check(self) -> None:
        """Memory needs no check."""

    async def guard(self, key: str) -> None:
        """Does nothing: memory stays in place."""

    async def put(self, key: str, data: Buffer, content_type: str = "") -> None:
        self._blobs[key] = bytes(data), ObjectInfo(key, len(data), now())

    async def copy(
        self, source: Driver, source_key: str, key: str, size: int, content_type: str
    ) -> bool:
        if not isinstance(source, MemoryDriver):
            return False
        await require_blob(source, source_key, size)
        chunks = [chunk async for chunk in source.read(source_key, 0, size, size or 1)]
        await self.put(key, b"".join(chunks), content_type)
        return True

    async def begin(self, key: str, content_type: str = "") -> str:
        return ""

    async def open_part(
        self, key: str, session: str, name: PartName, expected: ExpectedRange | None = None
    ) -> MemoryPartWriter:
        return MemoryPartWriter(self._parts_for(key, name), name)

    def _parts_for(self, key: str, fresh: PartName) -> dict[PartName, bytearray]:
        """The parts of an open blob, none of which may have the name `fresh`."""
        parts = self._open.setdefault(key, {})
        if fresh in parts:
            raise RuntimeError(f"part name {fresh} was used before")
        self._touched[key] = now()
        return parts

    async def remove_part(self, key: str, session: str, name: PartName) -> None:
        self._open.get(key, {}).pop(name, None)

    async def complete(self, key: str, session: str, parts: Sequence[StoredPart]) -> None:
        size = sum(part.size for part in parts)
        if key in self._blobs and self._blobs[key][1].size == size:
            return
        stored = self._open.get(key, {})
        try:
            data = b"".join(bytes(stored[part.name][: part.size]) for part in parts)
        except KeyError:
            data = b""
        if len(data) != size:
            raise blob_missing(key)
        self._blobs[key] = data, ObjectInfo(key, size, now())
        self._forget(key)

    async def abort(self, key: str, session: str) -> None:
        self._forget(key)

    def _forget(self, key: str) -> None:
        self._open.pop(key, None)
        self._touched.pop(key, None)

    async def read(
        self, key: str, offset: int, length: int, piece_size: PieceSize
    ) -> AsyncGenerator[bytes, None]:
        data = self._blobs[key][0] if key in self._blobs else b""
        if offset + length > len(data) or key not in self._blobs:
            raise blob_missing(key)
        end = offset + length
        while offset < end:
            size = min(bytes_of(piece_size), end - offset)
            yield data[offset : offset + size]
            offset += size

    async def stat(self, key: str) -> ObjectInfo | None:
        return self._blobs[key][1] if key in self._blobs else None

    async def delete(self, key: str) -> None:
        self._blobs.pop(key, None)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        for key, (_, info) in list(self._blobs.items()):
            if key.startswith(prefix):
                yield info

    async def list_open(self) -> AsyncIterator[OpenBlob]:
        for key, touched in list(self._touched.items()):
            if self._open.get(key):
                yield OpenBlob(key, "", touched)

    def local_path(self, key: str) -> Path | None:
        return None

    async def close(self) -> None:
        self._open.clear()
        self._touched.clear()
        self._blobs.clear()
