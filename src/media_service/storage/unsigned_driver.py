"""Base class for drivers of stores that only this service can reach."""

from collections.abc import Sequence
from datetime import timedelta

from media_service.storage.driver import PartName, SignedRequest


class UnsignedDriver:
    """Base class for drivers that sign no requests. All bytes pass through this service."""

    async def sign_part(
        self,
        key: str,
        session: str,
        name: PartName,
        size: int,
        crc32c: int,
        ttl: timedelta,
    ) -> SignedRequest | None:
        return None

    async def stored_parts(
        self, key: str, session: str, names: Sequence[PartName]
    ) -> dict[PartName, tuple[int, int]]:
        return {}

    async def sign_read(
        self, key: str, ttl: timedelta, content_type: str, disposition: str
    ) -> str | None:
        return None
