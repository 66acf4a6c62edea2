"""Buffers a part in memory, for object stores, which cannot append to a part."""

from collections.abc import Sequence

from media_service.storage.buffer import Buffer

# Smaller buffers are joined, because each list entry would double their memory use.
SMALL = 1024


class BufferedPart:
    """Base class for part writers that send a part in one request, with the bytes that `take`
    returns."""

    resent = False

    def __init__(self) -> None:
        self._buffers: list[Buffer | bytearray] = []
        self._closed = False

    async def write(self, buffers: Sequence[Buffer]) -> None:
        if self._closed:
            raise RuntimeError("write to a sealed part")
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
        """Closes the part and returns its bytes."""
        data = b"".join(self._buffers)
        self.drop()
        return data

    def drop(self) -> None:
        """Closes the part and discards its bytes."""
        self._buffers, self._closed = [], True
