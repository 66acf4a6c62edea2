"""Transactions, and what must be committed with a change or follow its commit.

A use case changes rows with its own queries. `enqueue` adds jobs in the same transaction, and
`emit` wakes listeners after the commit.
"""

from typing import LiteralString, TypeAlias

from psycopg import AsyncConnection, AsyncCursor, Rollback
from psycopg.abc import Params
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow
from psycopg.sql import SQL, Composed

from media_service.db import queries
from media_service.db.events import Event, JobRunnable
from media_service.db.new_job import NewJob

__all__ = ["Connection", "Rollback", "Rows", "Transaction"]

Rows = AsyncCursor[DictRow]
Query: TypeAlias = LiteralString | bytes | SQL | Composed


class Connection:
    """A connection on which every statement commits by itself. Emitted events are sent when the
    block that opened it ends, even by an error, because earlier statements are committed."""

    def __init__(self, connection: AsyncConnection[DictRow]) -> None:
        self._connection = connection
        self.events: list[Event] = []

    async def execute(self, query: Query, params: Params | None = None) -> Rows:
        return await self._connection.execute(query, params)

    def emit(self, event: Event) -> None:
        """Wakes the listeners to this event in every process."""
        self.events.append(event)


class Transaction(Connection):
    """A connection inside one transaction. Emitted events are sent after the commit, and never
    after a rollback. Raising `Rollback` inside rolls back without an error."""

    @property
    def failed(self) -> bool:
        """Whether a statement failed, so that nothing can be committed."""
        return self._connection.pgconn.transaction_status == TransactionStatus.INERROR

    async def enqueue(self, *jobs: NewJob) -> None:
        """Adds jobs. Workers can claim them after the commit."""
        if not jobs:
            return
        await queries.insert_jobs(self._connection, jobs)
        if any(job.runnable for job in jobs):
            self.emit(JobRunnable())
