"""Connections and transactions. Only services open them, and only queries run in them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    nullcontext,
)
from copy import copy
from typing import Self

import psycopg

from media_service.db.connection import LimitedConnection
from media_service.db.notifications import (
    E,
    EventAdded,
    JobChanged,
    MediaChanged,
    Notification,
    UploadChanged,
)
from media_service.db.notify import Notifier
from media_service.db.pool import Pool
from media_service.db.pulse import Pulse
from media_service.db.refusals import refusal_of
from media_service.db.transaction import Connection, Transaction
from media_service.db.turns import Standstill, Turns
from media_service.errors import Reason, Unavailable

log = logging.getLogger(__name__)

OPEN_SECONDS = 10.0
RECONNECT_SECONDS = 0.25
# The time limit of a statement, unless a setting changes it. Callers hear of an outage within ten
# seconds.
TIMEOUT_SECONDS = 8.0
# The time limit of a statement that reads a whole table.
LONG_SECONDS = 600.0


# A quarter of the connections is reserved for single statements, most of which read. So a burst of
# changes, such as a thousand deletions, does not hold up reads.
RESERVED_SHARE = 4
LEAST_TRANSACTIONS = 2

# What changes rows whose triggers add events.
EVENTFUL = (UploadChanged, MediaChanged, JobChanged)


class Duplicate(Exception):
    """A row with this key exists already."""


def unavailable() -> Unavailable:
    return Unavailable(Reason.DATABASE_UNAVAILABLE, "The database is unavailable. Try again.")


def json_bytes(value: bytes | None) -> str | None:
    """A bytea for `json_to_recordset`. For many rows, one JSON value is cheaper than arrays."""
    return None if value is None else f"\\x{value.hex()}"


class Database:
    """Connections to PostgreSQL, and notifications between processes. `timeout`: the limit of each
    statement, in seconds."""

    def __init__(self, url: str, pool_size: int, timeout: float = TIMEOUT_SECONDS) -> None:
        self.url = url
        self._pool = Pool(url, timeout)
        self._pulse = Pulse(self._pool, timeout)
        self._beating: asyncio.Task[None] | None = None
        self._notifier = Notifier(url, timeout)
        self._turns = Turns(pool_size)
        most = max(LEAST_TRANSACTIONS, pool_size - pool_size // RESERVED_SHARE)
        self._transactions = Turns(most, within=self._turns)
        self._share: Turns | None = None

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._connect()
                await self._notifier.open()
        except BaseException as error:
            await self._close()
            if isinstance(error, TimeoutError):
                raise Unavailable(
                    Reason.DATABASE_UNAVAILABLE,
                    f"MEDIA_DATABASE_URL cannot be reached within {OPEN_SECONDS:g} seconds.",
                ) from error
            raise
        self._beating = asyncio.create_task(self._pulse.run(), name="database-pulse")
        return self

    @property
    def presence(self) -> int | None:
        """The key of an advisory lock that this process holds until it ends, or loses a connection.
        None before the first connection."""
        return self._notifier.presence

    async def _connect(self) -> None:
        """Waits until PostgreSQL accepts connections."""
        while True:
            if await self._pulse.begin():
                return
            await asyncio.sleep(RECONNECT_SECONDS)

    async def __aexit__(self, *_: object) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])
        await self._close()

    async def _close(self) -> None:
        await self._notifier.close()
        await self._pool.close()

    def share(self, connections: int) -> "Database":
        """The same database, for callers that together may use at most so many connections. Others
        need not wait for them. Valid as long as this one is open."""
        limited = copy(self)
        limited._share = Turns(connections, within=self._share)  # noqa: SLF001 - of this class
        return limited

    @property
    def available(self) -> bool:
        """Whether PostgreSQL answered the last probe, which is at most a few seconds old."""
        return self._pulse.up

    @property
    def migrated(self) -> bool:
        """Whether the database has the schema that this version needs."""
        return self._pulse.migrated

    def listen(
        self, kind: type[E], key: str, listener: Callable[[E], None]
    ) -> AbstractContextManager[None]:
        """Calls `listener` on the event loop for each notification of this kind and key that any
        process sends. It says only *look again*, and may be late, merged with another, or lost."""
        return self._notifier.listen(kind, key, listener)

    def divert(self, take: Callable[[Notification], bool]) -> AbstractContextManager[None]:
        """Offers each notification that follows a commit of this process to `take` first, within
        the context. Those that it takes, by returning True, are not sent by LISTEN/NOTIFY."""
        return self._notifier.divert(take)

    def notify(self, notification: Notification) -> None:
        """Sends a notification by LISTEN/NOTIFY that follows no commit of this process."""
        self._notifier.publish(notification)

    @asynccontextmanager
    async def _raw(self, turns: Turns, *, long: bool = False) -> AsyncIterator[LimitedConnection]:
        try:
            async with self._share.turn() if self._share else nullcontext(), turns.turn():
                if not self.available:  # which is in the log
                    raise unavailable()
                if not self.migrated:
                    raise Unavailable(
                        Reason.SCHEMA_OUTDATED, "The service is being upgraded. Try again."
                    )
                async with self._lend(long=long) as raw:
                    yield raw
        except (psycopg.OperationalError, Standstill) as error:
            log.warning("database unavailable: %s", error)
            raise unavailable() from error

    def _lend(self, *, long: bool) -> AbstractAsyncContextManager[LimitedConnection]:
        return self._pool.special(LONG_SECONDS) if long else self._pool.connection()

    def _publish(self, connection: Connection) -> None:
        for notification in connection.notifications:
            self._notifier.offer(notification)
        if any(isinstance(each, EVENTFUL) for each in connection.notifications):
            self._notifier.offer(EventAdded())

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection on which every statement commits by itself."""
        async with self._raw(self._turns) as raw:
            connection = Connection(raw)
            try:
                yield connection
            finally:
                self._publish(connection)

    @asynccontextmanager
    async def long_connection(self) -> AsyncIterator[Connection]:
        """Like `connection`, for statements that read a whole table and may take minutes."""
        async with self._raw(self._turns, long=True) as raw:
            connection = Connection(raw)
            try:
                yield connection
            finally:
                self._publish(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A connection inside one transaction: committed at the end, rolled back on any error."""
        committed = False
        async with self._raw(self._transactions) as raw:
            transaction = Transaction(raw)
            async with raw.transaction():
                yield transaction
                await transaction.flush()
                committed = True
        if committed:
            transaction.committed()
            self._publish(transaction)

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[Transaction]:
        """A transaction whose statements are sent without waiting for each other's results;
        fetching a result waits for those before it. Raises `Duplicate` if a statement hits a unique
        key, and FailedPrecondition (QUOTA_EXCEEDED) if a quota refuses a change.

        PostgreSQL takes what is sent until a sync, here at the end, as one transaction. Only its
        own errors roll it back, not those of the caller, who therefore checks before anything is
        written.
        """
        async with self._raw(self._transactions) as raw:
            transaction = Transaction(raw)
            try:
                async with raw.pipeline():
                    yield transaction
                    await transaction.flush()
            except psycopg.Error as error:
                # Statements after the failed one were not prepared, but psycopg assumes so, and
                # they would fail from now on.
                await raw.close()
                if isinstance(error, psycopg.errors.UniqueViolation):
                    raise Duplicate from error
                if refusal := refusal_of(error):
                    raise refusal from error
                raise
        transaction.committed()
        self._publish(transaction)
