"""Pictures that are answered with from memory: how many bytes of them there are."""

from collections.abc import Iterator
from contextlib import contextmanager


class Memory:
    """Counts each picture once, for as long as anybody reads it, or stores it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        # How many hold a picture, by the id of its bytes.
        self._holders: dict[int, int] = {}

    def has_room(self, size: int) -> bool:
        return self._held + size <= self._most

    @contextmanager
    def hold(self, data: bytes) -> Iterator[None]:
        key = id(data)
        if key not in self._holders:
            self._holders[key] = 0
            self._held += len(data)
        self._holders[key] += 1
        try:
            yield
        finally:
            self._holders[key] -= 1
            if not self._holders[key]:
                del self._holders[key]
                self._held -= len(data)
