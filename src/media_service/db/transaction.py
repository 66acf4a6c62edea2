"""The one door through which a change takes along what follows from it.

A use case changes its rows by its own queries and names here what follows: `enqueue` accepts jobs
in the same transaction, `emit` wakes those who wait for the change once it is committed. Anything
else that must be committed with a change, or must follow its commit, enters here, too.
"""

from typing import LiteralString, TypeAlias

from psycopg import AsyncConnection, AsyncCursor, Rollback
from psycopg.abc import Params
from psycopg.rows import DictRow
from psycopg.sql import SQL, Composed

from media_service.db import queries
from media_service.db.events import Event, JobRunnable
from media_service.db.new_job import NewJob

__all__ = ["Connection", "Rollback", "Rows", "Transaction"]

Rows = AsyncCursor[DictRow]
Query: TypeAlias = LiteralString | bytes | SQL | Composed


class Connection:
    """A connection on which every statement commits by itself. Emitted events go out when the block
    that opened it ends, also by an error: the statements before it are committed."""

    def __init__(self, connection: AsyncConnection[DictRow]) -> None:
        self._connection = connection
        self.events: list[Event] = []

    async def execute(self, query: Query, params: Params | None = None) -> Rows:
        return await self._connection.execute(query, params)

    def emit(self, event: Event) -> None:
        """Wakes the listeners to this event in every process."""
        self.events.append(event)


class Transaction(Connection):
    """A connection inside one transaction. Emitted events go out after the commit, and never after
    a rollback. Raising `Rollback` inside rolls back and is no error."""

    async def enqueue(self, *jobs: NewJob) -> None:
        """Adds jobs. Workers can claim them after the commit."""
        if not jobs:
            return
        await queries.insert_jobs(self._connection, jobs)
        if any(job.runnable for job in jobs):
            self.emit(JobRunnable())
