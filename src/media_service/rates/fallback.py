"""Uses a shared store while it works, and meanwhile one of this process."""

import asyncio
import logging
from typing import Self

from media_service.errors import Reason, Unavailable
from media_service.rates.model import Rate, Standing
from media_service.rates.store import RateStore

log = logging.getLogger(__name__)

# How long a call waits for the shared store, which usually answers in less than a millisecond.
ANSWER_SECONDS = 0.25
# The pause between two looks whether it works again.
PAUSE_SECONDS = 1.0


class FallbackRates:
    """Implements `RateStore`, within a context. When the shared store does not answer, the calls
    that wait for it and all later ones count in `local`, and none of them waits any longer. So each
    process then grants the whole quota. A task looks whether the shared store works again."""

    def __init__(self, shared: RateStore, local: RateStore) -> None:
        self._shared = shared
        self._local = local
        self._works = True
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._look()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def works(self) -> bool:
        """Whether the shared store answers."""
        return self._works

    async def take(self, name: str, key: str, rate: Rate, cost: int) -> Standing:
        if self._works:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return await self._shared.take(name, key, rate, cost)
            except (Unavailable, TimeoutError) as error:
                self._lost(error)
        return await self._local.take(name, key, rate, cost)

    async def check(self) -> None:
        """Raises Unavailable (RATE_STORE_UNAVAILABLE) unless the shared store answers."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._shared.check()
        except TimeoutError:
            why = f"MEDIA_RATE_STORE does not answer within {ANSWER_SECONDS} seconds."
            raise Unavailable(Reason.RATE_STORE_UNAVAILABLE, why) from None

    def _lost(self, error: Exception) -> None:
        if self._works:
            self._works = False
            log.warning(
                "the store of rates does not work, so this process counts alone: %s",
                error or "no answer",
            )
            self._watching = asyncio.create_task(self._watch(), name="rate store")

    async def _look(self) -> None:
        try:
            await self.check()
        except Unavailable as error:
            self._lost(error)
        else:
            if not self._works:
                log.warning("the store of rates works again")
            self._works = True

    async def _watch(self) -> None:
        while not self._works:
            await asyncio.sleep(PAUSE_SECONDS)
            await self._look()

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        await self._shared.close()
        await self._local.close()
