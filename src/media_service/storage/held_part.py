"""A part that waits in memory until it is whole: object stores have none that grow."""

from collections.abc import Sequence

from media_service.types import Octets


class HeldPart:
    """What writers of such parts share; they send what they `take`."""

    def __init__(self) -> None:
        self._buffers: list[Octets] = []
        self._closed = False

    async def write(self, buffers: Sequence[Octets]) -> None:
        if self._closed:
            raise RuntimeError("a sealed part was written to")
        self._buffers += buffers

    async def sync(self) -> int:
        return 0

    def take(self) -> bytes:
        """All of it, once; then it is closed."""
        data = b"".join(self._buffers)
        self.drop()
        return data

    def drop(self) -> None:
        self._buffers, self._closed = [], True
