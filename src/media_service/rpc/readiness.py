"""Whether this process can do its work, and if not, why."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Self

from media_service.db.database import Database
from media_service.errors import MediaError, Reason

log = logging.getLogger(__name__)

# The pause between two checks of the stores while they work, and while one does not.
PAUSE_SECONDS, OUTAGE_PAUSE_SECONDS = 15.0, 2.0
# The time limit of a check.
CHECK_SECONDS = 10.0

# Raises MediaError if a store cannot be used.
StoreCheck = Callable[[], Awaitable[None]]


class Readiness:
    """Watches what the process stands on, within a context. `stores`: their checks, which passed at
    the start. `optional`: whether each part works without which the process is ready, by the reason
    that reports that it does not."""

    def __init__(
        self,
        database: Database,
        stores: Sequence[StoreCheck],
        optional: Mapping[Reason, Callable[[], bool]] = MappingProxyType({}),
    ) -> None:
        self._optional = optional
        self._database = database
        self._stores = stores
        self._stores_work = True
        self._draining = False
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._watching = asyncio.create_task(self._watch_stores(), name="stores")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    @property
    def reasons(self) -> list[Reason]:
        """Why the process is not ready; empty if it is."""
        found = {
            Reason.SHUTTING_DOWN: self._draining,
            Reason.DATABASE_UNAVAILABLE: not self._database.available,
            Reason.SCHEMA_OUTDATED: not self._database.migrated,
            Reason.STORAGE_UNAVAILABLE: not self._stores_work,
        }
        return [reason for reason, holds in found.items() if holds]

    @property
    def degraded(self) -> list[Reason]:
        """What does not work, although the process may be ready."""
        return [reason for reason, works in self._optional.items() if not works()]

    def drain(self) -> None:
        """From now on, the process is not ready."""
        self._draining = True

    async def _watch_stores(self) -> None:
        while True:
            await asyncio.sleep(PAUSE_SECONDS if self._stores_work else OUTAGE_PAUSE_SECONDS)
            work = all(await asyncio.gather(*(works(check) for check in self._stores)))
            if work != self._stores_work:
                log.warning("the stores work again" if work else "a store does not work")
            self._stores_work = work


async def works(check: StoreCheck) -> bool:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except (MediaError, TimeoutError) as error:
        log.info("a check of a store failed: %s", error or "no answer")
        return False
    except Exception:  # of a driver with a fault; the next check may succeed
        log.exception("a check of a store failed")
        return False
    return True
