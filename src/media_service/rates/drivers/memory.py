"""Rates of one process, in its memory."""

from functools import cache

from throttled.rate_limiter import RateLimiterRegistry
from throttled.rate_limiter.base import BaseRateLimiter
from throttled.store import MemoryStore

from media_service.rates.drivers.quota import ALGORITHM, quota
from media_service.rates.model import Rate, Standing

# Of each limit. Of more keys, those that were used last are kept; a key that is forgotten has its
# whole quota again.
MAX_KEYS = 50_000


class MemoryRates:
    """Implements `RateStore`."""

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._max_keys = max_keys
        self._limiter = cache(self._new_limiter)

    def _new_limiter(self, name: str, rate: Rate) -> BaseRateLimiter:
        """Each limit has keys of its own, so that many keys of one displace none of another."""
        store = MemoryStore(options={"MAX_SIZE": self._max_keys})
        limiter: BaseRateLimiter = RateLimiterRegistry.get(ALGORITHM)(quota(rate), store)
        return limiter

    async def take(self, name: str, key: str, rate: Rate, cost: int) -> Standing:
        result = self._limiter(name, rate).limit(key, cost)
        state = result.state
        return Standing(not result.limited, state.remaining, state.reset_after, state.retry_after)

    async def check(self) -> None:
        return

    async def close(self) -> None:
        return
