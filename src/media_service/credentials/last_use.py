"""Records when API keys are used, beside the calls."""

import logging
from datetime import datetime, timedelta

from media_service.clock import now
from media_service.credentials import queries
from media_service.db.database import Database
from media_service.db.periodic_flush import PeriodicFlush
from media_service.errors import MediaError

log = logging.getLogger(__name__)

FLUSH_SECONDS = 5.0
# Between two records of the use of a key, by all servers.
PAUSE = timedelta(minutes=1)
MAX_KEYS = 100_000


class LastUse(PeriodicFlush):
    def __init__(self, database: Database) -> None:
        super().__init__(FLUSH_SECONDS)
        self._database = database
        self._used: dict[str, datetime] = {}

    def add(self, api_key_id: str) -> None:
        if api_key_id in self._used or len(self._used) < MAX_KEYS:
            self._used[api_key_id] = now()

    async def _flush(self) -> None:
        if not self._used:
            return
        used, self._used = self._used, {}
        try:
            async with self._database.connection() as db:
                await queries.record_use(db, used, PAUSE)
        except MediaError as error:
            log.warning("the last use of API keys is not recorded: %s", error.message)
