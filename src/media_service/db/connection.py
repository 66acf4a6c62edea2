"""A connection to PostgreSQL on which no wait is without a limit.

A server that is frozen, or behind a firewall that forgot the connection, neither answers nor ends
the connection. `statement_timeout` does not help, because such a server runs no timers, and a Unix
socket has no `tcp_user_timeout`. So each wait has a limit here as well.
"""

import asyncio
import os
import socket
from typing import Any, Self, TypeVar

import psycopg
from psycopg import AsyncConnection, waiting
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row
from psycopg.sql import SQL, Identifier, Literal

RV = TypeVar("RV")

# How often a wait looks at the socket even without an event.
INTERVAL_SECONDS = 0.1
# The time limit for cancelling a statement, and then for its end.
CANCEL_SECONDS = 1.0
# The part of the limit that the server gives a statement. It ends slow statements, so that the
# limit of the client is reached only if the server is silent.
SERVER_SHARE = 0.9
# The time limit for the lock of a row or a table, at most, and as a share of that of the statement.
LOCK_SECONDS, LOCK_SHARE = 5.0, 0.6
# After this time without a statement, the server ends a transaction, whose client is gone.
IDLE_TRANSACTION = "60s"
# Of both ends: a peer is gone after 5 + 2 * 2 seconds of silence.
KEEPALIVES = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 2}
USER_TIMEOUT_MS = 8000


class LimitedConnection(AsyncConnection[DictRow]):
    """A connection whose statements take at most `seconds` each. It is closed if one takes longer,
    or if a cancelled one cannot be ended."""

    seconds: float
    # Whether the server did not answer within the limit.
    silent = False

    @classmethod
    async def open(cls, url: str, seconds: float, connect_seconds: float | None = None) -> Self:
        """Connects within `connect_seconds`, or `seconds`. Raises OperationalError."""
        options: dict[str, Any] = {**KEEPALIVES, "tcp_user_timeout": USER_TIMEOUT_MS}
        given = conninfo_to_dict(url)
        try:
            async with asyncio.timeout(connect_seconds or seconds):
                connection = await cls.connect(
                    url,
                    autocommit=True,
                    row_factory=dict_row,
                    prepare_threshold=1,
                    **{name: value for name, value in options.items() if name not in given},
                )
        except TimeoutError:
            raise psycopg.OperationalError("no connection within the time limit") from None
        connection.seconds = connect_seconds or seconds
        try:
            await connection._configure(seconds)  # noqa: SLF001 - its own class
        except BaseException:
            await connection.close()
            raise
        connection.seconds = seconds
        return connection

    async def _configure(self, seconds: float) -> None:
        settings = {
            "statement_timeout": milliseconds(seconds * SERVER_SHARE),
            "lock_timeout": milliseconds(min(LOCK_SECONDS, seconds * LOCK_SHARE)),
            "idle_in_transaction_session_timeout": IDLE_TRANSACTION,
            "tcp_keepalives_idle": str(KEEPALIVES["keepalives_idle"]),
            "tcp_keepalives_interval": str(KEEPALIVES["keepalives_interval"]),
            "tcp_keepalives_count": str(KEEPALIVES["keepalives_count"]),
            "tcp_user_timeout": str(USER_TIMEOUT_MS),
            # Compiling a statement takes longer than running it.
            "jit": "off",
        }
        # Without parameters, this is one round trip, and nothing needs a plan. A function for all
        # settings would take a tenth of the time of a new connection.
        sets = SQL(";").join(
            SQL("set {} = {}").format(Identifier(name), Literal(value))
            for name, value in settings.items()
        )
        await self.execute(sets, prepare=False)

    async def wait(
        self, gen: Any, interval: float = INTERVAL_SECONDS, timeout: float | None = None
    ) -> Any:
        """psycopg calls this for each of its waits. `timeout` is that of `notifies`, which waits
        for an event of the socket alone, because it waits most of the time."""
        limit = self.seconds if timeout is None else timeout
        interval = interval if timeout is None else max(interval, timeout)
        try:
            return await waiting.wait_async(
                gen, self.pgconn.socket, interval=interval, timeout=limit
            )
        except asyncio.CancelledError:
            await self._cancel(gen)
            raise
        except psycopg.OperationalError as error:
            if timeout is None and self._unanswered:
                self.silent = True
                self.pgconn.finish()
                why = f"no answer from the server within {limit:g} seconds"
                raise psycopg.OperationalError(why) from error
            raise

    @property
    def _unanswered(self) -> bool:
        return self.pgconn.transaction_status == TransactionStatus.ACTIVE

    async def _cancel(self, gen: Any) -> None:
        """Ends the running statement, or closes the connection if that fails."""
        if not self._unanswered:
            return
        try:
            await self.cancel_safe(timeout=CANCEL_SECONDS)
            await waiting.wait_async(
                gen, self.pgconn.socket, interval=INTERVAL_SECONDS, timeout=CANCEL_SECONDS
            )
        except psycopg.errors.QueryCanceled:
            return
        except BaseException as error:
            self.pgconn.finish()
            if not isinstance(error, Exception):  # cancelled again
                raise

    def cut(self) -> None:
        """Ends the connection. A task that waits for it gets an OperationalError."""
        if self.closed:
            return
        # Closing the descriptor would leave the waiting task without an event.
        with socket.socket(fileno=os.dup(self.pgconn.socket)) as shared:
            try:
                shared.shutdown(socket.SHUT_RDWR)
            except OSError:  # the peer has closed it
                return


def milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
