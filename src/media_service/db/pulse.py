"""Notices that PostgreSQL has stopped answering, and that it answers again.

Without it, each caller would wait for its own statement, then the next in the queue for its own,
and so on.
"""

import asyncio
import logging
import time

import psycopg

from media_service.db.migrate import is_sufficient
from media_service.db.pool import Pool

log = logging.getLogger(__name__)

# The pause between two probes while the database answers, and while it does not.
PAUSE_SECONDS, OUTAGE_PAUSE_SECONDS = 1.0, 0.25
# The time limit of a probe, as a share of that of a statement. Two probes and a pause are shorter
# than a statement may be.
SHARE = 0.4


class Pulse:
    """Probes the database until cancelled. `seconds` is the time limit of a statement."""

    def __init__(self, pool: Pool, seconds: float) -> None:
        self._pool = pool
        self._seconds = seconds * SHARE
        self.up = True
        # Whether the migrations of this version are applied. There are no downgrades.
        self.migrated = False

    async def run(self) -> None:
        while True:
            await asyncio.sleep(PAUSE_SECONDS if self.up else OUTAGE_PAUSE_SECONDS)
            up = await self._is_up()
            if up != self.up:
                log.warning("the database %s", "answers again" if up else "does not answer")
            self.up = up
            if not up:
                self._pool.cut()

    async def begin(self) -> bool:
        """Whether the database answers its first probe."""
        if answers := await self._answers():
            self._report_schema()
        return answers

    def _report_schema(self) -> None:
        if not self.migrated:
            log.warning(
                "the database lacks migrations of this version; run `media-service migrate`"
            )

    async def _is_up(self) -> bool:
        began = time.monotonic()
        # The second probe is on another connection, because the first one may be the only bad one.
        return await self._answers() or await self._answers() or self._pool.answered > began

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(self._seconds), self._pool.connection() as connection:
                # A little less, because cancelling a statement may take more time.
                before, connection.seconds = connection.seconds, 0.9 * self._seconds
                try:
                    await connection.execute("select 1")
                    if not self.migrated:
                        self.migrated = await is_sufficient(connection)
                finally:
                    connection.seconds = before
        except (psycopg.OperationalError, TimeoutError) as error:
            log.info("a probe of the database failed: %s", error or "no answer")
            return False
        return True
