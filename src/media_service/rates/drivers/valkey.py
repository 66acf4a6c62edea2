"""Rates that several processes share, in Valkey or Redis."""

from functools import cache
from typing import Any

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from throttled.asyncio.rate_limiter import BaseRateLimiter, RateLimiterRegistry
from throttled.asyncio.store import RedisStore
from throttled.exceptions import StoreUnavailableError

from media_service.errors import Reason, Unavailable
from media_service.rates.drivers.quota import ALGORITHM, quota
from media_service.rates.model import Rate, Standing

# Of a process. Calls wait for a free one.
MAX_CONNECTIONS = 32
PREFIX = "media-service"
FAILURES = (StoreUnavailableError, RedisError, OSError)


class Shared(RedisStore):
    """The library's store, with what it lacks."""

    @property
    def client(self) -> Any:  # the library's type has only what it uses itself
        return self._backend.get_client()

    async def close(self) -> None:
        await self.client.aclose(close_connection_pool=True)


class ValkeyRates:
    """Implements `RateStore`. Keys are deleted by the server once their quota is complete."""

    def __init__(self, url: str) -> None:
        """Raises ValueError if the URL is not valid."""
        self._store = Shared(
            url.replace("valkey", "redis", 1) if url.startswith("valkey") else url,
            {
                "CONNECTION_POOL_CLASS": "redis.asyncio.BlockingConnectionPool",
                "CONNECTION_POOL_KWARGS": {
                    "max_connections": MAX_CONNECTIONS,
                    "timeout": None,
                    # A connection that the server has closed is replaced.
                    "retry": Retry(NoBackoff(), 1),
                },
            },
        )
        self._limiter = cache(self._new_limiter)

    def _new_limiter(self, rate: Rate) -> BaseRateLimiter:
        limiter: BaseRateLimiter = RateLimiterRegistry.get(ALGORITHM)(quota(rate), self._store)
        return limiter

    async def take(self, name: str, key: str, rate: Rate, cost: int) -> Standing:
        try:
            result = await self._limiter(rate).limit(f"{PREFIX}:{name}:{key}", cost)
        except FAILURES as error:
            raise unavailable(error) from error
        state = result.state
        return Standing(not result.limited, state.remaining, state.reset_after, state.retry_after)

    async def check(self) -> None:
        try:
            await self._store.client.ping()
        except FAILURES as error:
            raise unavailable(error) from error

    async def close(self) -> None:
        await self._store.close()


def unavailable(error: Exception) -> Unavailable:
    cause = error.__cause__ if isinstance(error, StoreUnavailableError) else error
    return Unavailable(Reason.RATE_STORE_UNAVAILABLE, f"MEDIA_RATE_STORE: {cause}")
