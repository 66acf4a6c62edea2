"""A cache in Redis or Valkey."""

import logging
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from media_service.cache.cache import CacheUnavailable

log = logging.getLogger(__name__)

# Of all keys, so that a server can be shared. Another format of the values gets another number.
NAMESPACE = "media-service:cache:1:"
TTL_SECONDS = 600
# Of one value in bytes. Larger ones are not kept.
MAX_VALUE = 256 << 10
CONNECTIONS = 16
# PostgreSQL answers in a millisecond. To wait longer for a cache makes no sense.
ANSWER_SECONDS = 0.1
# After a failure, nothing is asked for so long.
PAUSE_SECONDS = 1.0
FAILURES = (RedisError, OSError)


class RedisCache:
    def __init__(self, url: str) -> None:
        """Raises ValueError if the URL is not valid. Connections are opened when needed."""
        pool: Any = BlockingConnectionPool.from_url(
            url.replace("valkey", "redis", 1) if url.startswith("valkey") else url,
            max_connections=CONNECTIONS,
            timeout=ANSWER_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            # A connection that the server has closed is replaced.
            retry=Retry(NoBackoff(), 1),
        )
        self._redis: Any = Redis.from_pool(pool)
        self._paused_until = 0.0

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        nothing: list[bytes | None] = [None] * len(keys)
        if not keys or monotonic() < self._paused_until:
            return nothing
        try:
            return list(await self._redis.mget([NAMESPACE + key for key in keys]))
        except FAILURES as error:
            self._pause(error)
            return nothing

    async def put(self, values: Mapping[str, bytes]) -> None:
        kept = {key: value for key, value in values.items() if len(value) <= MAX_VALUE}
        if not kept or monotonic() < self._paused_until:
            return
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for key, value in kept.items():
                    pipeline.set(NAMESPACE + key, value, ex=TTL_SECONDS)
                await pipeline.execute()
        except FAILURES as error:
            self._pause(error)

    async def remove(self, keys: Sequence[str]) -> None:
        try:
            await self._redis.delete(*(NAMESPACE + key for key in keys))
        except FAILURES as error:
            raise CacheUnavailable(str(error)) from error

    def _pause(self, error: Exception) -> None:
        self._paused_until = monotonic() + PAUSE_SECONDS
        log.warning("MEDIA_CACHE_REDIS does not answer, reads go to PostgreSQL: %s", error)

    async def close(self) -> None:
        await self._redis.aclose()
