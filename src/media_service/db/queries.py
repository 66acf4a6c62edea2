"""SQL of what a transaction adds besides its own changes."""

import json
from collections.abc import Sequence

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from media_service.db.new_job import NewJob


async def insert_jobs(db: AsyncConnection[DictRow], added: Sequence[NewJob]) -> None:
    """Inserts jobs in one statement."""
    rows = [
        {
            "job_id": job.job_id,
            "kind": job.kind,
            "subject_id": job.subject_id,
            "state": "SUCCEEDED" if job.done else "QUEUED",
            "org_id": job.owner.org_id if job.owner else None,
            "owner_type": job.owner.type if job.owner else None,
            "owner_id": job.owner.id if job.owner else None,
            "priority": job.priority,
            "delay": job.delay.total_seconds(),
            "pipeline": job.pipeline,
            "rendition": job.rendition,
            "parent_id": job.parent_id,
            "subjob_number": job.subjob_number,
            "heavy": job.heavy,
            "project_id": job.project_id,
            "actor_id": job.actor_id,
            "anew": job.anew,
        }
        for job in added
    ]
    await db.execute(
        """
        insert into jobs (job_id, kind, subject_id, state, org_id, owner_type, owner_id, priority,
                          ready, run_time, pipeline, rendition, parent_id, subjob_number, heavy,
                          project_id, actor_id, anew, progress_percent, end_time)
        select job_id, kind, subject_id, state, org_id, owner_type, owner_id, priority,
               delay <= 0, now() + make_interval(secs => delay), pipeline, rendition,
               parent_id, subjob_number, heavy, project_id, actor_id, anew,
               case state when 'SUCCEEDED' then 100 else 0 end,
               case state when 'SUCCEEDED' then now() end
        from json_to_recordset(%s::json) as added (
            job_id uuid, kind text, subject_id uuid, state text, org_id text, owner_type text,
            owner_id text, priority smallint, delay float8, pipeline text,
            rendition text, parent_id uuid, subjob_number integer, heavy boolean, project_id text,
            actor_id text, anew boolean
        )
        """,
        (json.dumps(rows),),
    )
