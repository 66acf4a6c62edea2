"""Reads jobs, and lists them for their owners."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

from media_service.access.policy import Condition
from media_service.db.transaction import Connection
from media_service.jobs.model import Job, JobKind, JobState
from media_service.jobs.queries.records import job_record

SELECT = """
    select j.*, j.job_id::text as job_id, j.subject_id::text as subject_id
    from jobs j
"""
# Jobs that callers can see. Jobs of the service itself and subjobs are not visible.
VISIBLE = "j.owner_type is not null and j.parent_id is null"


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


async def get_many(db: Connection, job_ids: Sequence[str]) -> dict[str, Job]:
    """Returns the visible jobs among these, by id."""
    rows = await db.execute(
        SELECT + "where j.job_id = any(%s::uuid[]) and " + VISIBLE, (list(job_ids),)
    )
    return {row["job_id"]: job_record(row) async for row in rows}


async def lock(db: Connection, job_id: str) -> Job | None:
    """Returns a visible job, and locks it until the transaction ends."""
    rows = await db.execute(
        SELECT + "where j.job_id = %s and " + VISIBLE + " for update", (job_id,)
    )
    row = await rows.fetchone()
    return job_record(row) if row else None


async def page(
    db: Connection,
    scope: Sequence[Condition],
    *,
    media_id: str | None,
    state: JobState | None,
    kind: JobKind | None,
    project_id: str | None,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[Job]:
    """Jobs `j` in scope, newest first, older than `after` (create_time, job_id)."""
    where = [*(condition.sql for condition in scope), VISIBLE]
    params = [value for condition in scope for value in condition.params]
    filters = {"subject_id": media_id, "state": state, "kind": kind, "project_id": project_id}
    for column, value in filters.items():
        if value is not None:
            where.append(f"j.{column} = %s")
            params.append(value)
    if after is not None:
        where.append("(j.create_time, j.job_id) < (%s, %s::uuid)")
        params += after
    rows = await db.execute(
        f"{SELECT} where {' and '.join(where)}"
        " order by j.create_time desc, j.job_id desc limit %s".encode(),
        (*params, limit),
    )
    return [job_record(row) async for row in rows]
