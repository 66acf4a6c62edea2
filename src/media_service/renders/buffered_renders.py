"""Tracks the bytes of renders that are in memory because they are being sent or stored."""

from collections.abc import Iterator
from contextlib import contextmanager


class BufferedRenders:
    """Counts each render once, as long as it is held at least once."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        # The number of holders of each render, by the `id` of its bytes.
        self._holders: dict[int, int] = {}

    def has_room(self, size: int) -> bool:
        return self._bytes + size <= self._max_bytes

    @contextmanager
    def hold(self, data: bytes) -> Iterator[None]:
        key = id(data)
        if key not in self._holders:
            self._holders[key] = 0
            self._bytes += len(data)
        self._holders[key] += 1
        try:
            yield
        finally:
            self._holders[key] -= 1
            if not self._holders[key]:
                del self._holders[key]
                self._bytes -= len(data)
