"""A store that is reached through this service alone."""

from collections.abc import Sequence
from datetime import timedelta

from media_service.storage.driver import PartName, SignedRequest


class ClosedStore:
    """What drivers of such stores share: nothing comes, and nothing goes, past the service."""

    async def sign_part(
        self,
        key: str,
        session: str,
        name: PartName,
        size: int,
        crc32c: int,
        lifetime: timedelta,
    ) -> SignedRequest | None:
        return None

    async def stored_parts(
        self, key: str, session: str, names: Sequence[PartName]
    ) -> dict[PartName, tuple[int, int]]:
        return {}

    async def sign_read(
        self, key: str, lifetime: timedelta, content_type: str, disposition: str
    ) -> str | None:
        return None
