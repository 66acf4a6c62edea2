"""The relay: gives events their cursors, and brings them to the sinks.

Every worker runs one. A lock makes sure that one of them at a time moves events out of the outbox,
and a lease for each sink that one of them delivers to it. Each sink has its own place in the order
of events, so one that is down delays only its own.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from time import monotonic

from media_service.db.database import Database
from media_service.db.notifications import EventAdded, EventRelayed
from media_service.db.transaction import Connection
from media_service.errors import Unavailable
from media_service.events import queries
from media_service.events.model import Cursor
from media_service.events.sink import BATCH, Sink, SinkUnavailable
from media_service.ids import new_id

log = logging.getLogger(__name__)

# The most events that one transaction moves.
MOVED = 1000
# The longest delay if a notification is lost.
POLL_SECONDS = 1.0
# After moving events, unless more wait than one transaction moves. Under load, steps cost more than
# events, so each step of the relay and of the sinks, which follow it, should carry many.
PAUSE_SECONDS = 0.03
# How long a worker that hangs keeps others from delivering to its sinks. One that died does not.
LEASE = timedelta(seconds=15)
# How often a lease is renewed while nothing is delivered, and a sink that another worker holds is
# kept from being forgotten.
RENEW_SECONDS = 5.0
REGISTER_SECONDS = 3600.0
# The limit of one delivery: shorter than the lease.
PUBLISH_SECONDS = 10.0
# Between deliveries that fail: it doubles from the first to the second.
BACKOFF_SECONDS = (0.2, 10.0)
# Between two looks whether events are late.
OBSERVE_SECONDS = 60.0
# The pause after a database error.
OUTAGE_SECONDS = 1.0
# Of an error, in the database.
MAX_ERROR = 500


def backoff(attempts: int) -> float:
    shortest, longest = BACKOFF_SECONDS
    return float(min(shortest * 2 ** min(attempts, 16), longest))


class Delivery:
    """Brings events to one sink while this process holds it."""

    def __init__(self, database: Database, sink: Sink, holder: str) -> None:
        self._database = database
        self._sink = sink
        self._holder = holder
        self._cursor: Cursor | None = None  # None: this process does not hold the sink
        self._attempts = 0
        # On the monotonic clock.
        self._renew = self._register = 0.0

    async def step(self) -> float:
        """Delivers a batch. Returns the seconds until the next step, unless events come before."""
        async with self._database.connection() as db:
            if self._cursor is None:
                if (held := await self._hold(db)) is None:
                    return POLL_SECONDS
                self._cursor, self._attempts = held
            page = await queries.after(db, self._cursor, BATCH)
            if not page.events:
                if monotonic() >= self._renew and await self._hold(db) is None:
                    self._cursor = None
                return POLL_SECONDS
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await self._sink.publish(page.events)
        except (SinkUnavailable, TimeoutError) as error:
            return await self._fail(error)
        async with self._database.connection() as db:
            kept = await queries.advance_sink(db, self._sink.name, self._holder, page.end, LEASE)
        self._cursor = page.end if kept else None
        self._renew = monotonic() + RENEW_SECONDS
        if self._attempts:
            log.info("events reach %s again", self._sink.name)
            self._attempts = 0
        return 0 if page.full else POLL_SECONDS

    async def _hold(self, db: Connection) -> tuple[Cursor, int] | None:
        name, presence = self._sink.name, self._database.presence
        if monotonic() >= self._register:
            await queries.register_sink(db, name)
            self._register = monotonic() + REGISTER_SECONDS
        self._renew = monotonic() + RENEW_SECONDS
        return await queries.hold_sink(db, name, self._holder, presence, LEASE)

    async def _fail(self, error: Exception) -> float:
        """Records that a delivery failed, and returns when the next one is due."""
        why = str(error)[:MAX_ERROR] or "no answer in time"
        if not self._attempts:
            log.warning("events do not reach %s, and are kept for it: %s", self._sink.name, why)
        pause = timedelta(seconds=backoff(self._attempts))
        self._attempts += 1
        async with self._database.connection() as db:
            await queries.delay_sink(db, self._sink.name, self._holder, why, LEASE + pause)
        await asyncio.sleep(pause.total_seconds())  # also if events come meanwhile
        return 0


class Relay:
    def __init__(self, database: Database, sinks: Sequence[Sink]) -> None:
        self._database = database
        self._holder = new_id()
        self._deliveries = [Delivery(database, sink, self._holder) for sink in sinks]
        self._added = asyncio.Event()
        self._relayed = [asyncio.Event() for _ in sinks]

    async def run(self) -> None:
        """Runs until cancelled."""
        with (
            self._database.listen(EventAdded, "", lambda _: self._added.set()),
            self._database.listen(EventRelayed, "", lambda _: self._wake_sinks()),
        ):
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._repeat(self._move, self._added), name="event relay")
                    tasks.create_task(self._repeat(self._observe, asyncio.Event()))
                    for delivery, relayed in zip(self._deliveries, self._relayed, strict=True):
                        tasks.create_task(self._repeat(delivery.step, relayed), name="event sink")
            finally:
                await asyncio.shield(self._release())

    async def _release(self) -> None:
        try:
            async with self._database.connection() as db:
                await queries.release_sinks(db, self._holder)
        except Unavailable:
            return  # the leases end by themselves

    def _wake_sinks(self) -> None:
        for relayed in self._relayed:
            relayed.set()

    async def _observe(self) -> float:
        """Writes to the log which events are late."""
        async with self._database.connection() as db:
            status = await queries.status(db)
        for lag in status.lags():
            log.warning("events are late: %s", lag)
        return OBSERVE_SECONDS

    async def _move(self) -> float:
        """Moves events out of the outbox. Returns the seconds until the next step."""
        async with self._database.transaction() as tx:
            moved = await queries.relay(tx, MOVED)
            if moved:
                tx.notify(EventRelayed())
        if moved == MOVED:
            return 0
        if moved:
            await asyncio.sleep(PAUSE_SECONDS)
        return POLL_SECONDS

    async def _repeat(self, step: Callable[[], Awaitable[float]], wake: asyncio.Event) -> None:
        while True:
            wake.clear()
            try:
                seconds = await step()
            except Exception as error:  # the loop must survive any error
                known = isinstance(error, Unavailable)
                log.warning("events are delayed: %s", error, exc_info=None if known else error)
                seconds = OUTAGE_SECONDS
            try:
                async with asyncio.timeout(seconds):
                    await wake.wait()
            except TimeoutError:
                continue
