"""The subjobs of a job."""

from psycopg.sql import Identifier

from media_service.db.notifications import JobChanged, JobRunnable
from media_service.db.transaction import Connection
from media_service.jobs.model import JobState, Subjob
from media_service.jobs.queries.changing import RESTART
from media_service.jobs.queries.records import fault_of


async def of_job(db: Connection, parent_id: str) -> list[Subjob]:
    """The subjobs of a job, in order."""
    rows = await db.execute(
        "select subjob_number, state, progress_percent, error_reason, error_message,"
        " error_metadata from jobs"
        " where parent_id = %s order by subjob_number",
        (parent_id,),
    )
    return [
        Subjob(
            row["subjob_number"],
            JobState(row["state"]),
            row["progress_percent"],
            fault_of(row) if row["error_reason"] else None,
        )
        async for row in rows
    ]


async def cancel(db: Connection, parent_id: str) -> None:
    """Cancels the subjobs of a job that have not ended."""
    rows = await db.execute(
        "update jobs set state = 'CANCELLED', lease_until = null, stage = '', update_time = now(),"
        " end_time = now() where parent_id = %s and state in ('QUEUED', 'RUNNING')"
        " returning job_id::text as job_id",
        (parent_id,),
    )
    async for row in rows:
        db.notify(JobChanged(row["job_id"]))


async def restart(db: Connection, parent_id: str) -> None:
    """Queues the failed and cancelled subjobs of a job again."""
    await db.execute(RESTART.format(which=Identifier("parent_id")), (parent_id,))
    db.notify(JobRunnable())


async def forget(db: Connection, parent_id: str) -> int:
    """Removes the subjobs of a job, which is charged for their time. Returns their number."""
    rows = await db.execute(
        """
        with gone as (
            delete from jobs where parent_id = %(parent_id)s returning slot_seconds
        ), charged as (
            update jobs set slot_seconds = slot_seconds + (select sum(slot_seconds) from gone)
            where job_id = %(parent_id)s and exists (select from gone where slot_seconds > 0)
        )
        select count(*) as number from gone
        """,
        {"parent_id": parent_id},
    )
    row = await rows.fetchone()
    return row["number"] if row else 0
