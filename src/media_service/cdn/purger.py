"""What a driver of a CDN promises."""

from collections.abc import Sequence
from typing import Protocol


class PurgeFailed(Exception):
    """The CDN cannot be reached or refused. The message says why, without the token."""


class Purger(Protocol):
    """`purge` may be called again for keys that are purged already."""

    async def purge(self, keys: Sequence[str]) -> None:
        """Returns when the CDN has accepted that it serves nothing any more that was stored before
        under these keys. Raises PurgeFailed."""

    async def close(self) -> None: ...
