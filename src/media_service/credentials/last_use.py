"""Records when API keys are used, beside the calls."""

import asyncio
import logging
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Self

from media_service.clock import now
from media_service.credentials import queries
from media_service.db.database import Database
from media_service.errors import MediaError

log = logging.getLogger(__name__)

FLUSH_SECONDS = 5.0
# Between two records of the use of a key, by all servers.
PAUSE = timedelta(minutes=1)
MAX_KEYS = 100_000


class LastUse:
    """An async context manager: leaving it records the last uses. A process that is killed loses
    those of its last seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._used: dict[str, datetime] = {}
        self._stopping = asyncio.Event()
        self._flushing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._flushing = asyncio.create_task(self._flush_forever())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping.set()
        if self._flushing:
            await self._flushing

    def add(self, api_key_id: str) -> None:
        if api_key_id in self._used or len(self._used) < MAX_KEYS:
            self._used[api_key_id] = now()

    async def _flush_forever(self) -> None:
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), FLUSH_SECONDS)
            await self._flush()

    async def _flush(self) -> None:
        if not self._used:
            return
        used, self._used = self._used, {}
        try:
            async with self._database.connection() as db:
                await queries.record_use(db, used, PAUSE)
        except MediaError as error:
            log.warning("the last use of API keys is not recorded: %s", error.message)
