"""Charges units to keys, and refuses those that have none left."""

import hashlib
from collections.abc import Callable

from media_service.errors import Reason, ResourceExhausted
from media_service.rates.model import Limit, Standing
from media_service.rates.store import RateStore

# Longer keys are hashed, so that the size of a store is bounded.
MAX_KEY = 100


class RateLimiter:
    """`caller`: the limit of each caller. `address`: that of each client address, for calls without
    a caller. `shared`: whether the processes that should count together do so."""

    def __init__(
        self,
        store: RateStore,
        caller: Limit,
        address: Limit,
        shared: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self.caller = caller
        self.address = address
        self.shared = shared

    async def charge(self, limit: Limit, key: str, cost: int) -> Standing | None:
        """Takes units of a key. Returns None if the limit is off. Raises ResourceExhausted
        (RATE_LIMITED) if too few units are left; none is taken then."""
        rate = limit.rate
        if rate is None or not cost:
            return None
        # A call that costs more than the whole quota would never be admitted.
        standing = await self._store.take(limit.name, bounded(key), rate, min(cost, rate.quota))
        if standing.admitted:
            return standing
        error = ResourceExhausted(
            Reason.RATE_LIMITED,
            f"The rate limit of this {limit.name} is used up: {rate.quota} units in"
            f" {rate.seconds} seconds. This call costs {cost}. Try again in"
            f" {standing.retry_seconds:.1f} seconds.",
            limit=limit.name,
            quota=rate.quota,
            window_seconds=rate.seconds,
            remaining=standing.remaining,
        )
        error.retry_seconds = standing.retry_seconds
        raise error


def bounded(key: str) -> str:
    if len(key) <= MAX_KEY:
        return key
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
