"""What keeps the standing of keys."""

from typing import Protocol

from media_service.rates.model import Rate, Standing


class RateStore(Protocol):
    """Counts by the generic cell rate algorithm (GCRA)."""

    async def take(self, name: str, key: str, rate: Rate, cost: int) -> Standing:
        """Takes `cost` units, at most `rate.quota`, of a key of the limit `name`, or none if fewer
        are left. Raises Unavailable (RATE_STORE_UNAVAILABLE) if the store does not work."""
        ...

    async def check(self) -> None:
        """Raises Unavailable (RATE_STORE_UNAVAILABLE) if the store does not work."""
        ...

    async def close(self) -> None: ...
