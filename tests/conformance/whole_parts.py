"""A driver with the demands of an object store: a least size, and whole parts only."""

from collections.abc import Sequence

from media_service.storage.driver import Limits, PartName, Place, StoredPart
from media_service.storage.memory import MemoryDriver, MemoryPartWriter


class WholePartWriter(MemoryPartWriter):
    """Nothing of a part is there before it is sealed."""

    def __init__(self, parts: dict[PartName, bytearray], name: PartName) -> None:
        super().__init__({}, name)
        self._kept = parts

    async def sync(self) -> int:
        return 0

    async def seal(self) -> None:
        self._kept[self._name] = self._data
        await super().seal()


class WholePartDriver(MemoryDriver):
    limits = Limits(min_part_size=10, stream_part_size=16, max_part_size=32)

    async def open_part(
        self, key: str, session: str, name: PartName, place: Place | None = None
    ) -> MemoryPartWriter:
        return WholePartWriter(self._parts(key, name), name)

    async def complete(self, key: str, session: str, parts: Sequence[StoredPart]) -> None:
        assert all(part.size >= self.limits.min_part_size for part in parts[:-1])
        await super().complete(key, session, parts)
