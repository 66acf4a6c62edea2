"""Writes entries of the audit log in batches, off the path of the calls that they record."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from itertools import islice
from time import monotonic

from media_service.audit.queries import writing
from media_service.audit.repeats import Repeats
from media_service.clock import now
from media_service.db.audit_entry import AuditEntry, Category
from media_service.db.database import Database
from media_service.db.periodic_flush import PeriodicFlush
from media_service.errors import MediaError, Reason, Unavailable
from media_service.ids import new_id

log = logging.getLogger(__name__)

FLUSH_SECONDS = 0.5
BATCH = 500
# Entries that wait. Beyond, calls wait before they begin.
MAX_WAITING = 20_000
ROOM_SECONDS = 5.0
# An idle writer still says that it has nothing to write.
BEAT_SECONDS = 15.0
# How long a process that stops tries to write its last entries.
CLOSE_SECONDS = 5.0

# Called with each media that was viewed or downloaded.
Counted = Callable[[str, Category], None]


class AuditWriter(PeriodicFlush):
    """Leaving it writes what waits. A process that is killed loses the entries of reads and
    refusals of its last moments; changes are written by their own transactions."""

    def __init__(
        self, database: Database, counted: Counted, flush_seconds: float = FLUSH_SECONDS
    ) -> None:
        super().__init__(flush_seconds)
        self._database = database
        self._counted = counted
        self._writer_id = new_id()
        self._waiting: deque[AuditEntry] = deque()
        self._repeats = Repeats()
        self._room = asyncio.Event()
        self._room.set()
        self._next_beat = 0.0
        self._failing = False

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        await self._close()

    def add(self, entry: AuditEntry) -> None:
        time = now()
        if not self._repeats.merge(entry, time):
            self._append(replace(entry, time=time))

    def _append(self, entry: AuditEntry) -> None:
        self._waiting.append(entry)
        if len(self._waiting) >= MAX_WAITING:
            self._room.clear()

    @property
    def full(self) -> bool:
        return not self._room.is_set()

    async def room(self) -> None:
        """Waits until few entries wait. Raises Unavailable (DATABASE_UNAVAILABLE): a call that
        cannot be recorded is refused."""
        try:
            async with asyncio.timeout(ROOM_SECONDS):
                await self._room.wait()
        except TimeoutError:
            raise Unavailable(
                Reason.DATABASE_UNAVAILABLE,
                "The audit log cannot be written at the moment. Try again.",
            ) from None

    async def _flush(self) -> None:
        await self._tick(now())

    async def _tick(self, time: datetime | None) -> None:
        """Ends the windows that are over, and writes everything that waits. `time` None: ends all
        windows, because the writer stops."""
        for entry in self._repeats.ended(time):
            self._append(replace(entry, time=now()))
        try:
            while self._waiting:
                await self._write_or_report(min(BATCH, len(self._waiting)))
            if time is not None and monotonic() >= self._next_beat:
                await self._write(0)
            self._failing = False
        except MediaError as error:
            if not self._failing:  # an outage has one line
                log.warning("%d audit entries are not written yet: %s", len(self._waiting), error)
            self._failing = True

    async def _write_or_report(self, size: int) -> None:
        """An entry that the database refuses must not stop the others."""
        try:
            await self._write(size)
        except MediaError:
            raise
        except Exception:
            if size > 1:
                for _ in range(size):
                    await self._write_or_report(1)
                return
            log.exception("the database refuses an audit entry: %s", self._waiting.popleft())

    async def _write(self, size: int) -> None:
        """Writes the first entries that wait."""
        batch = list(islice(self._waiting, size))
        flushed = self._waiting[size].time if len(self._waiting) > size else now()
        async with self._database.transaction() as tx:
            if not await writing.beat(tx, self._writer_id, flushed or now()):
                # Their hour may be sealed, because this process seemed dead.
                await writing.register(tx, self._writer_id, flushed or now())
                if self._next_beat:
                    batch = [replace(entry, time=None) for entry in batch]
            counted = await writing.insert(tx, batch)
        self._next_beat = monotonic() + BEAT_SECONDS
        for _ in batch:
            self._waiting.popleft()
        if len(self._waiting) < MAX_WAITING // 2:
            self._room.set()
        for media_id, category in counted:
            self._counted(media_id, category)

    async def _close(self) -> None:
        end = monotonic() + CLOSE_SECONDS
        await self._tick(None)
        while self._waiting and monotonic() < end:
            await asyncio.sleep(self._seconds)
            await self._tick(None)
        for entry in self._waiting:
            log.error("an audit entry could not be written: %s", entry)
        if not self._next_beat:  # it is not registered
            return
        try:
            async with self._database.connection() as db:
                await writing.unregister(db, self._writer_id)
        except MediaError as error:
            log.warning("the audit writer is not removed: %s", error)
