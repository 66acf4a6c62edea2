"""Transactions, and what must be committed with a change or follow its commit.

A use case changes rows with its own queries. `enqueue` adds jobs in the same transaction, and
`audit` records the change in the audit log, in the same transaction. `emit` adds events for
consumers in the same transaction. `notify` wakes listeners after the commit.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import LiteralString, TypeAlias

from psycopg import AsyncConnection, AsyncCursor, DatabaseError, Rollback
from psycopg.abc import Params
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow
from psycopg.sql import SQL, Composed

from media_service.db import queries
from media_service.db.audit_entry import (
    SERVICE,
    AuditedCall,
    AuditEntry,
    category_of,
    current_call,
)
from media_service.db.audited_events import event_of
from media_service.db.new_event import Event, Numbered
from media_service.db.new_job import NewJob
from media_service.db.notifications import EventAdded, JobRunnable, Notification
from media_service.db.refusals import refusal_of

__all__ = ["Connection", "Rollback", "Rows", "Transaction"]

Rows = AsyncCursor[DictRow]
Query: TypeAlias = LiteralString | bytes | SQL | Composed


class Connection:
    """A connection on which every statement commits by itself. Notifications are sent when the
    block that opened it ends, even by an error, because earlier statements are committed."""

    def __init__(self, connection: AsyncConnection[DictRow]) -> None:
        self._connection = connection
        self.notifications: list[Notification] = []

    async def execute(self, query: Query, params: Params | None = None) -> Rows:
        """Raises FailedPrecondition (QUOTA_EXCEEDED) if a quota refuses the change."""
        try:
            return await self._connection.execute(query, params)
        except DatabaseError as error:
            if refusal := refusal_of(error):
                raise refusal from error
            raise

    def notify(self, notification: Notification) -> None:
        """Wakes the listeners to this notification in every process."""
        self.notifications.append(notification)


class Transaction(Connection):
    """A connection inside one transaction. Notifications are sent after the commit, and never
    after a rollback. Raising `Rollback` inside rolls back without an error."""

    def __init__(self, connection: AsyncConnection[DictRow]) -> None:
        super().__init__(connection)
        self._entries: list[AuditEntry] = []
        self._calls: list[AuditedCall] = []
        self._events: list[Event] = []

    @property
    def failed(self) -> bool:
        """Whether a statement failed, so that nothing can be committed."""
        return self._connection.pgconn.transaction_status == TransactionStatus.INERROR

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Rolls back what happens in this context if it raises an error, and nothing before."""
        async with self._connection.transaction():
            yield

    async def enqueue(self, *jobs: NewJob) -> None:
        """Adds jobs. Workers can claim them after the commit."""
        if not jobs:
            return
        await queries.insert_jobs(self._connection, jobs)
        for heavy in {job.heavy for job in jobs if job.runnable}:
            self.notify(JobRunnable(heavy))

    def audit(
        self,
        action: str = "",
        *,
        call: AuditedCall | None = None,
        media_id: str = "",
        version: int = 0,
        org_id: str = "",
        project_id: str = "",
        resource_id: str = "",
        outcome: str = "OK",
        size: int = 0,
        details: Mapping[str, str] | None = None,
        numbered: Numbered | None = None,
    ) -> None:
        """Records a change in the audit log, and emits its event if it has one (see
        `audited_events`). `action` and `call`: those of the current call, if
        they are not set. `resource_id`: of an upload or a job. `outcome`: the reason of the change,
        if it has one. `size`: the bytes that were stored. `details`: what it
        set; users are named by their random ids, see `person_id`. `numbered`: see `Event`."""
        call = call or current_call.get()
        action = action or (call.action if call else "")
        entry = AuditEntry(
            category=category_of(action),
            action=action,
            origin=call.origin() if call else SERVICE,
            media_id=media_id,
            version=version,
            org_id=org_id,
            project_id=project_id,
            resource_id=resource_id,
            outcome=outcome,
            bytes=size,
            details=details or {},
        )
        self._entries.append(entry)
        if event := event_of(entry, call.caller if call else None, numbered):
            self.emit(event)
        if call:
            self._calls.append(call)

    def emit(self, *events: Event) -> None:
        """Adds events, which the commit writes in one statement. A transaction that removes a media
        calls `flush` before, because its events get their numbers from its row."""
        self._events += events

    async def person_id(self, kind: str, id_: str) -> str:
        """The random id that stands for a caller in the audit log."""
        return await queries.person_id(self._connection, kind, id_)

    async def flush(self) -> None:
        """Writes what the use case has recorded so far. The commit does the same."""
        if self._entries:
            entries, self._entries = self._entries, []
            await self.write_entries(entries)
        if self._events:
            events, self._events = self._events, []
            await queries.insert_events(self._connection, events)
            self.notify(EventAdded())

    async def write_entries(self, entries: Sequence[AuditEntry]) -> Rows:
        """See `insert_audit_entries`."""
        return await queries.insert_audit_entries(self._connection, entries)

    def committed(self) -> None:
        for call in self._calls:
            call.recorded = True
