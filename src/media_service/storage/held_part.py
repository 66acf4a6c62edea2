"""A part that waits in memory until it is whole: object stores have none that grow."""

from collections.abc import Sequence

from media_service.storage.buffer import Buffer

# Pieces below this are put together: each would take as much again to be held.
SMALL = 1024


class HeldPart:
    """What writers of such parts share; they send what they `take`."""

    def __init__(self) -> None:
        self._buffers: list[Buffer | bytearray] = []
        self._closed = False

    async def write(self, buffers: Sequence[Buffer]) -> None:
        if self._closed:
            raise RuntimeError("a sealed part was written to")
        for data in buffers:
            if len(data) > SMALL:
                self._buffers.append(data)
            elif self._buffers and isinstance(last := self._buffers[-1], bytearray):
                last += data
            else:
                self._buffers.append(bytearray(data))

    async def sync(self) -> int:
        return 0

    def take(self) -> bytes:
        """All of it, once; then it is closed."""
        data = b"".join(self._buffers)
        self.drop()
        return data

    def drop(self) -> None:
        self._buffers, self._closed = [], True
