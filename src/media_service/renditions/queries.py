"""SQL of the jobs that render standard renditions."""

from collections.abc import Sequence
from datetime import timedelta

from media_service.db.notifications import JobChanged, JobRunnable
from media_service.db.transaction import Connection


async def restart_failed(
    db: Connection, reasons: Sequence[str], *, pause: timedelta, oldest: timedelta, limit: int
) -> int:
    """Queues jobs again that failed for one of these reasons longer ago than `pause`, if they are
    younger than `oldest`. A later job for the same rendition takes precedence. Returns their
    number."""
    rows = await db.execute(
        """
        with failed as (
            select j.job_id from jobs j join media m on m.media_id = j.subject_id
            where j.state = 'FAILED' and j.owner_type is not null and j.parent_id is null
              and j.end_time between now() - %(oldest)s and now() - %(pause)s
              and j.create_time > now() - %(oldest)s
              and j.error_reason = any(%(reasons)s)
              and (j.kind = 'INGEST' or j.kind in ('PROCESS', 'FOREIGN') and j.actor_id = '')
              and m.delete_time is null and m.state <> 'QUARANTINED'
              and not exists (
                  select from jobs later
                  where later.subject_id = j.subject_id and later.kind = j.kind
                    and later.rendition = j.rendition and later.create_time > j.create_time
              )
            order by j.end_time limit %(limit)s for update of j skip locked
        )
        update jobs
        set state = 'QUEUED', ready = true, run_time = now(), attempt = 0, lost_leases = 0,
            outages = 0, progress_percent = 0, error_reason = null, error_message = null,
            update_time = now(), end_time = null
        where job_id in (select job_id from failed)
        returning job_id::text as job_id, heavy
        """,
        {"reasons": list(reasons), "pause": pause, "oldest": oldest, "limit": limit},
    )
    async for row in rows:
        db.notify(JobChanged(row["job_id"]))
        db.notify(JobRunnable(row["heavy"]))
    return rows.rowcount
