"""Open connections to PostgreSQL, to be used again."""

import select
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg.pq import TransactionStatus

from media_service.db.connection import LimitedConnection

# Then a connection is replaced, because PostgreSQL's memory for it grows.
MAX_AGE_SECONDS = 3600.0


class Pool:
    """Lends connections, and opens one whenever none is unused. The caller limits how many are lent
    at once. `seconds` is the time limit of each statement."""

    def __init__(self, url: str, seconds: float) -> None:
        self._url = url
        self._seconds = seconds
        self._unused: list[tuple[LimitedConnection, float]] = []
        self._lent: set[LimitedConnection] = set()
        self._closed = False
        # When PostgreSQL last answered, as a monotonic time.
        self.answered = time.monotonic()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[LimitedConnection]:
        """Lends a connection. Raises OperationalError."""
        connection, opened = await self._take()
        self._lent.add(connection)
        try:
            yield connection
        finally:
            self._lent.remove(connection)
            await self._put(connection, opened)

    @asynccontextmanager
    async def special(self, seconds: float) -> AsyncIterator[LimitedConnection]:
        """Lends a connection of its own, with another time limit."""
        connection = await LimitedConnection.open(self._url, seconds, self._seconds)
        self._lent.add(connection)
        try:
            yield connection
        finally:
            self._lent.remove(connection)
            await connection.close()

    async def _take(self) -> tuple[LimitedConnection, float]:
        while self._unused:
            connection, opened = self._unused.pop()
            if time.monotonic() - opened < MAX_AGE_SECONDS and not has_input(connection):
                return connection, opened
            await connection.close()
        return await LimitedConnection.open(self._url, self._seconds), time.monotonic()

    async def _put(self, connection: LimitedConnection, opened: float) -> None:
        if connection.pgconn.transaction_status == TransactionStatus.IDLE:
            self.answered = time.monotonic()
            if not self._closed:
                self._unused.append((connection, opened))
                return
        await connection.close()
        if connection.silent:  # what happened to it has probably happened to the others
            await self.close_unused()

    async def close_unused(self) -> None:
        """Closes the connections that nobody uses. Callers get new ones."""
        unused, self._unused = self._unused, []
        for connection, _ in unused:
            await connection.close()

    def cut(self) -> None:
        """Ends all lent connections. Their users get OperationalError."""
        for connection in self._lent:
            connection.cut()

    async def close(self) -> None:
        self._closed = True
        await self.close_unused()


def has_input(connection: LimitedConnection) -> bool:
    """Whether PostgreSQL has sent something that nobody asked for, usually that it ends the
    connection."""
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))
