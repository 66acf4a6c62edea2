"""A driver with the rules of an object store: a minimum part size, and whole parts only."""

from collections.abc import Sequence

from media_service.storage.driver import ExpectedRange, PartLimits, PartName, StoredPart
from media_service.storage.drivers.memory import MemoryDriver, MemoryPartWriter


class WholePartWriter(MemoryPartWriter):
    """A writer whose part does not exist before it is sealed."""

    def __init__(self, parts: dict[PartName, bytearray], name: PartName) -> None:
        super().__init__({}, name)
        self._kept = parts

    async def sync(self) -> int:
        return 0

    async def seal(self) -> None:
        self._kept[self._name] = self._data
        await super().seal()


class WholePartDriver(MemoryDriver):
    limits = PartLimits(min_part_size=10, target_part_size=16, max_part_size=32)

    async def open_part(
        self, key: str, session: str, name: PartName, place: ExpectedRange | None = None
    ) -> MemoryPartWriter:
        return WholePartWriter(self._parts_for(key, name), name)

    async def complete(self, key: str, session: str, parts: Sequence[StoredPart]) -> None:
        assert all(part.size >= self.limits.min_part_size for part in parts[:-1])
        await super().complete(key, session, parts)
