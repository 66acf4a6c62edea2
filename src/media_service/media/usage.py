"""Counts reads of media in memory, and adds the counts to the database every minute."""

import logging
from collections import Counter

from media_service.db.database import Database
from media_service.db.periodic_flush import PeriodicFlush
from media_service.errors import MediaError
from media_service.media import queries
from media_service.media.content import Use

log = logging.getLogger(__name__)

FLUSH_SECONDS = 60.0
BATCH = 1000
# The maximum number of media that are counted between two flushes. Reads of others are not counted.
MAX_MEDIA = 100_000


class UsageCounter(PeriodicFlush):
    """Counts reads. The counts are approximate: a process that is killed loses those of its last
    minute."""

    def __init__(self, database: Database, flush_seconds: float = FLUSH_SECONDS) -> None:
        super().__init__(flush_seconds)
        self._database = database
        self._counts: dict[str, Counter[Use]] = {}

    def add(self, media_id: str, use: Use) -> None:
        if media_id in self._counts or len(self._counts) < MAX_MEDIA:
            self._counts.setdefault(media_id, Counter())[use] += 1

    async def _flush(self) -> None:
        """Writes the counts. Counts of locked media remain for the next flush, as do all counts if
        the database is unavailable."""
        waiting = list(self._counts)
        for start in range(0, len(waiting), BATCH):
            batch = {media_id: self._counts.pop(media_id) for media_id in waiting[start:][:BATCH]}
            written: set[str] = set()
            try:
                async with self._database.connection() as db:
                    written = await queries.add_usage(db, batch)
            except MediaError as error:
                log.warning("the counts of reads are not written yet: %s", error.message)
            finally:
                for media_id in batch.keys() - written:
                    self._counts.setdefault(media_id, Counter()).update(batch[media_id])
