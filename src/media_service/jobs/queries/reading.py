"""Reads jobs, and lists them for their owners."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

from media_service.access.lists import Key, Table, after_sql, order_sql, page_of
from media_service.access.policy import Condition
from media_service.access.principal import Principal
from media_service.access.queries import (
    CALLERS,
    CallersQuery,
    Scope,
    media_keys,
    role,
)
from media_service.db.transaction import Connection
from media_service.jobs.model import Job, JobKind, JobState
from media_service.jobs.queries.records import job_record

COLUMNS = "j.*, j.job_id::text as job_id, j.subject_id::text as subject_id"


def batch(more: str = "") -> str:
    """The counts of a BATCH job, and `more`, as JSON."""
    counts = "'selected', selected, 'processed', processed, 'changed', changed, 'failed', failed"
    return f"""
        case when j.kind = '{JobKind.BATCH}' then (
            select jsonb_build_object({counts}{more}) from batches where batch_id = j.job_id
        ) end as batch
    """


SELECT = f"select {COLUMNS}, 0 as role, {batch()} from jobs j"
TABLE = Table("jobs", "j", "job_id", "subject_id")
NEWEST = (Key("create_time", descending=True), Key("job_id", descending=True))
# Jobs that callers can see. Jobs of the service itself and subjobs are not visible.
VISIBLE = "j.owner_type is not null and j.parent_id is null"
# The jobs that callers ask for, each with the role of its caller.
ASKED = CallersQuery(f"""
    select {COLUMNS}, c.position, {role("j", media_keys("j", "subject_id"))} as role,
           {batch(", 'errors', errors")}
    from {CALLERS} join jobs j on j.job_id = c.id
    where {VISIBLE}
""")


# Media id, rendition.
RenditionKey: TypeAlias = tuple[str, str]


async def rendering(db: Connection, keys: Sequence[RenditionKey]) -> set[RenditionKey]:
    """The renditions among these that jobs render which have not ended."""
    rows = await db.execute(
        """
        select k.media_id::text as media_id, k.rendition
        from unnest(%s::uuid[], %s::text[]) as k(media_id, rendition)
        where exists (
            select from jobs j where j.subject_id = k.media_id and j.rendition = k.rendition
            and j.parent_id is null and j.state in ('QUEUED', 'RUNNING')
        )
        """,
        ([media_id for media_id, _ in keys], [rendition for _, rendition in keys]),
    )
    return {(row["media_id"], row["rendition"]) async for row in rows}


async def unfinished(db: Connection, kind: JobKind, subject_id: str) -> str | None:
    """Returns the job of this kind on a subject that has not ended, if there is one."""
    rows = await db.execute(
        "select job_id::text as job_id from jobs where subject_id = %s and kind = %s"
        " and state in ('QUEUED', 'RUNNING') order by create_time limit 1",
        (subject_id, kind),
    )
    row = await rows.fetchone()
    return row["job_id"] if row else None


async def get_asked(db: Connection, asked: Sequence[tuple[str, Principal]]) -> list[Job | None]:
    """Returns the visible jobs that each caller asks for, with the caller's role."""
    if not asked:
        return []
    rows = await db.execute(*ASKED.of(asked))
    found = {row["position"]: job_record(row) async for row in rows}
    return [found.get(position) for position in range(1, len(asked) + 1)]


async def lock(db: Connection, job_id: str, principal: Principal) -> Job | None:
    """Returns a visible job with the caller's role, and locks it until the transaction ends."""
    await db.execute("select from jobs where job_id = %s for update", (job_id,))
    (job,) = await get_asked(db, [(job_id, principal)])
    return job


async def page(
    db: Connection,
    scope: Scope,
    conditions: Sequence[Condition],
    *,
    media_id: str | None,
    state: JobState | None,
    kind: JobKind | None,
    project_id: str | None,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[Job]:
    """Jobs `j` in scope that meet the conditions, newest first, older than `after` (create_time,
    job_id)."""
    where = [Condition(VISIBLE, ()), *conditions]
    filters = {"subject_id": media_id, "state": state, "project_id": project_id}
    for column, value in filters.items():
        if value is not None:
            where.append(Condition(f"j.{column} = %s", (value,)))
    if kind is not None:
        alike = [each for each in JobKind if each.type is kind]
        where.append(Condition("j.kind = any(%s)", (alike,)))
    if after is not None:
        where.append(after_sql("j", NEWEST, after))
    page = page_of(TABLE, scope, where, NEWEST, limit)
    order_by = order_sql("j", NEWEST)
    rows = await db.execute(
        f"with {page.sql} {SELECT} join page on page.id = j.job_id order by {order_by}".encode(),
        page.params,
    )
    return [job_record(row) async for row in rows]
