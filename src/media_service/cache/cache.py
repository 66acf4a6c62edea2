"""What a cache promises: values that can be lost at any time."""

from collections.abc import Mapping, Sequence
from typing import Protocol


class CacheUnavailable(Exception):
    """The cache does not answer."""


class Cache(Protocol):
    """Reads and writes never fail: while the cache does not answer, nothing is found or kept."""

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The value of each key."""

    async def put(self, values: Mapping[str, bytes]) -> None:
        """Keeps values for a while, but for those that are too large."""

    async def remove(self, keys: Sequence[str]) -> None:
        """Raises CacheUnavailable."""

    async def close(self) -> None: ...
