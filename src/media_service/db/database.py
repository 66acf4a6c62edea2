"""Connections and transactions. Only services open them, and only queries run in them."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from typing import Self

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from media_service.db.events import E
from media_service.db.notify import Notifier
from media_service.db.transaction import Connection, Transaction
from media_service.errors import Reason, Unavailable

log = logging.getLogger(__name__)

OPEN_SECONDS = 10.0
# If no caller gets a connection for so long, the database is unavailable.
STANDSTILL_SECONDS = 10.0


class Duplicate(Exception):
    """A row with this key exists already."""


def json_bytes(value: bytes | None) -> str | None:
    """A bytea for `json_to_recordset`. For many rows, one JSON value is cheaper than arrays."""
    return None if value is None else f"\\x{value.hex()}"


def cancelled_times() -> int:
    """How often this task was cancelled."""
    task = asyncio.current_task()
    return task.cancelling() if task else 0


def heed(before: int) -> None:
    """Raises CancelledError if this task was cancelled since `before`. Before Python 3.12,
    `wait_for`, which the pool uses, loses a cancellation that arrives together with its result."""
    if cancelled_times() > before:
        raise asyncio.CancelledError


class Database:
    """A pool of connections to PostgreSQL, and the events between its processes."""

    def __init__(self, url: str, pool_size: int) -> None:
        self.url = url
        self._pool: AsyncConnectionPool[AsyncConnection[DictRow]] = AsyncConnectionPool(
            url,
            connection_class=AsyncConnection[DictRow],
            min_size=2,
            max_size=pool_size,
            timeout=STANDSTILL_SECONDS,
            open=False,
            kwargs={"autocommit": True, "row_factory": dict_row, "prepare_threshold": 1},
        )
        self._notifier = Notifier(url)
        self._opened = AsyncExitStack()
        self._turns = asyncio.Semaphore(pool_size)
        self._moved = time.monotonic()

    async def __aenter__(self) -> Self:
        cancels = cancelled_times()
        try:
            async with AsyncExitStack() as opening:
                opening.push_async_callback(self._pool.close)
                await self._pool.open(wait=True, timeout=OPEN_SECONDS)
                heed(cancels)
                async with asyncio.timeout(OPEN_SECONDS):
                    await opening.enter_async_context(self._notifier)
                self._opened = opening.pop_all()
        except (PoolTimeout, TimeoutError) as error:
            raise Unavailable(
                Reason.DATABASE_UNAVAILABLE,
                f"MEDIA_DATABASE_URL cannot be reached within {OPEN_SECONDS:g} seconds.",
            ) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()

    def listen(
        self, kind: type[E], key: str, listener: Callable[[E], None]
    ) -> AbstractContextManager[None]:
        """Calls `listener` on the event loop for each event of this kind and key that any process
        emits. An event says only *look again*: it may be late, merged with another, or lost."""
        return self._notifier.listen(kind, key, listener)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Waits while other callers make progress, because ten thousand callers form a long queue.
        The pool alone would fail callers that wait too long."""
        if self._turns.locked():
            waiting = asyncio.ensure_future(self._turns.acquire())
            try:
                while not (await asyncio.wait([waiting], timeout=STANDSTILL_SECONDS))[0]:
                    if time.monotonic() - self._moved > STANDSTILL_SECONDS:
                        raise PoolTimeout("no caller gets a connection any more")
            except BaseException:
                if not waiting.cancel() and not waiting.cancelled():
                    self._turns.release()
                raise
        else:
            await self._turns.acquire()
        try:
            yield
        finally:
            self._turns.release()

    @asynccontextmanager
    async def _raw(self) -> AsyncIterator[AsyncConnection[DictRow]]:
        cancels = cancelled_times()
        try:
            async with self._turn(), self._pool.connection() as raw:
                self._moved = time.monotonic()
                heed(cancels)
                yield raw
        except (psycopg.OperationalError, PoolTimeout) as error:
            log.warning("database unavailable: %s", error)
            raise Unavailable(
                Reason.DATABASE_UNAVAILABLE, "The database is unavailable. Try again."
            ) from error

    def _publish(self, connection: Connection) -> None:
        for event in connection.events:
            self._notifier.publish(event)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection on which every statement commits by itself."""
        async with self._raw() as raw:
            connection = Connection(raw)
            try:
                yield connection
            finally:
                self._publish(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A connection inside one transaction: committed at the end, rolled back on any error."""
        committed = False
        async with self._raw() as raw:
            transaction = Transaction(raw)
            async with raw.transaction():
                yield transaction
                committed = True
        if committed:
            self._publish(transaction)

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[Transaction]:
        """A transaction whose statements are sent without waiting for each other's results;
        fetching a result waits for those before it. Raises `Duplicate` if a statement hits a unique
        key.

        PostgreSQL takes what is sent until a sync, here at the end, as one transaction. Only its
        own errors roll it back, not those of the caller, who therefore checks before anything is
        written.
        """
        async with self._raw() as raw:
            transaction = Transaction(raw)
            try:
                async with raw.pipeline():
                    yield transaction
            except psycopg.Error as error:
                # Statements after the failed one were not prepared, but psycopg assumes so, and
                # they would fail from now on. The pool replaces a closed connection.
                await raw.close()
                if isinstance(error, psycopg.errors.UniqueViolation):
                    raise Duplicate from error
                raise
        self._publish(transaction)
