"""SQL of what a transaction adds besides its own changes."""

import json
from collections.abc import Sequence

from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import DictRow

from media_service.db.audit_entry import AuditEntry
from media_service.db.new_event import Event
from media_service.db.new_job import NewJob


async def insert_jobs(db: AsyncConnection[DictRow], added: Sequence[NewJob]) -> None:
    """Inserts jobs in one statement."""
    rows = [
        {
            "job_id": job.job_id,
            "kind": job.kind,
            "subject_id": job.subject_id,
            "state": "SUCCEEDED" if job.done else "FAILED" if job.fault else "QUEUED",
            "error_reason": job.fault.reason if job.fault else None,
            "error_message": job.fault.message if job.fault else None,
            "error_metadata": dict(job.fault.metadata) if job.fault else None,
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
            "actor_type": job.actor.type if job.actor else "user",
            "actor_id": job.actor.id if job.actor else "",
            "anew": job.anew,
            "charged_type": job.charged.type if job.charged else None,
            "charged_id": job.charged.id if job.charged else None,
            "version": job.version,
        }
        for job in added
    ]
    await db.execute(
        """
        insert into jobs (job_id, kind, subject_id, state, org_id, owner_type, owner_id, priority,
                          ready, run_time, pipeline, rendition, parent_id, subjob_number, heavy,
                          project_id, actor_type, actor_id, anew, charged_type, charged_id,
                          version, error_reason, error_message, error_metadata, progress_percent,
                          end_time)
        select job_id, kind, subject_id, state, org_id, owner_type, owner_id, priority,
               delay <= 0, now() + make_interval(secs => delay), pipeline, rendition,
               parent_id, subjob_number, heavy, project_id, actor_type, actor_id, anew,
               charged_type, charged_id, version, error_reason, error_message, error_metadata,
               case state when 'SUCCEEDED' then 100 else 0 end,
               case when state <> 'QUEUED' then now() end
        from json_to_recordset(%s::json) as added (
            job_id uuid, kind text, subject_id uuid, state text, org_id text, owner_type text,
            owner_id text, priority smallint, delay float8, pipeline text,
            rendition text, parent_id uuid, subjob_number integer, heavy boolean, project_id text,
            actor_type text, actor_id text, anew boolean, charged_type text, charged_id text,
            version integer, error_reason text, error_message text, error_metadata jsonb
        )
        """,
        (json.dumps(rows),),
    )


# The columns of `AuditEntry.row`. Arrays take a quarter of the time of objects.
COLUMNS = (
    *("entry_id::uuid", "at::timestamptz", "category::text", "action::text", "actor_type::text"),
    *("actor_id::text", "credential_id::text", "request_id::text", "address::text"),
    *("user_agent::text", "salt::bytea", "origin_hash::bytea", "media_id::uuid"),
    *("version::integer", "org_id::text", "project_id::text", "resource_id::text"),
    *("outcome::text", "counted::boolean", "requests::integer", "bytes::bigint", "details::text"),
)
ENTRY = ", ".join(
    f"(e->>{number})::{column.partition('::')[2]} as {column.partition('::')[0]}"
    for number, column in enumerate(COLUMNS)
)


# Of a row with `type`, `id` and `salt`: see migration 0035.
PERSON_ID = """
    encode(substr(sha256(salt || convert_to(type || chr(10) || id, 'UTF8')), 1, 16), 'hex')::uuid
"""
NEW_SALT = "uuid_send(gen_random_uuid())"


async def person_id(db: AsyncConnection[DictRow], kind: str, id_: str) -> str:
    """The id that stands for a caller in the audit log."""
    rows = await db.execute(
        f"""
        insert into audit_people (person_id, type, id, salt)
        select {PERSON_ID}, type, id, salt
        from (select %s::text as type, %s::text as id, {NEW_SALT} as salt) named
        on conflict (type, id) where not former do update set id = excluded.id
        returning person_id::text as person_id
        """.encode(),
        (kind, id_),
    )
    row = await rows.fetchone()
    assert row  # noqa: S101 - one row is always returned
    return str(row["person_id"])


async def insert_audit_entries(
    db: AsyncConnection[DictRow], entries: Sequence[AuditEntry]
) -> AsyncCursor[DictRow]:
    """Adds entries to the audit log. Returns the media and category of those that count.

    An entry of an hour that is sealed gets the present time. A view counts if the caller did not
    begin to view this version of the media in the last ten minutes. Entries that exist already are
    skipped, so a batch whose commit was not confirmed can be repeated.
    """
    statement = f"""
        with given as (
            select {ENTRY} from jsonb_array_elements(%s::jsonb) as e
        ), named as (
            select distinct actor_type, actor_id from given where actor_id <> ''
        ), known as (
            select p.person_id, p.type, p.id
            from named n
            join audit_people p on p.type = n.actor_type and p.id = n.actor_id and not p.former
        ), added as (
            insert into audit_people (person_id, type, id, salt)
            select {PERSON_ID}, type, id, salt from (
                select actor_type as type, actor_id as id, {NEW_SALT} as salt from named
                where not exists (select from known where type = actor_type and id = actor_id)
            ) unknown
            order by type, id
            on conflict (type, id) where not former do update set id = excluded.id
            returning person_id, type, id
        ), complete as (
            select g.entry_id, g.category, g.action, g.actor_type, p.person_id, g.credential_id,
                   g.request_id, g.address, g.user_agent, g.salt, g.origin_hash, g.media_id,
                   g.resource_id, g.outcome, g.counted, g.requests, g.bytes, g.details,
                   case when g.at >= sealed.until then g.at else now() end as time,
                   coalesce(nullif(g.version, 0), m.version, 0) as version,
                   coalesce(m.org_id, g.org_id) as org_id,
                   coalesce(m.project_id, g.project_id) as project_id
            from given g
            cross join (
                select coalesce(max(hour) + interval '1 hour', '-infinity') as until
                from audit_digests
            ) sealed
            left join (select * from known union all select * from added) p
                on p.type = g.actor_type and p.id = g.actor_id
            left join media m on m.media_id = g.media_id
        ), viewed as (
            insert into audit_recent_views as v (person_id, media_id, version, time)
            select person_id, media_id, version, min(time) from complete
            where category = 'VIEW' and counted and person_id is not null
            group by person_id, media_id, version
            order by person_id, media_id, version
            on conflict (person_id, media_id, version) do update set time = excluded.time
                where v.time <= excluded.time - interval '10 minutes'
            returning person_id, media_id, version, time
        ), entries as (
            insert into audit_entries (
                time, entry_id, category, action, actor_type, person_id, org_id, project_id,
                media_id, version, resource_id, outcome, counted, requests, bytes, credential_id,
                request_id, origin_hash, details
            )
            select c.time, c.entry_id, c.category, c.action, c.actor_type, c.person_id, c.org_id,
                   c.project_id, c.media_id, c.version, c.resource_id, c.outcome,
                   c.counted and (c.category <> 'VIEW' or v.person_id is not null
                                  or c.person_id is null),
                   c.requests, c.bytes, c.credential_id, c.request_id, c.origin_hash, c.details
            from complete c
            left join viewed v on (v.person_id, v.media_id, v.version, v.time)
                = (c.person_id, c.media_id, c.version, c.time) and c.category = 'VIEW'
            on conflict (time, entry_id) do nothing
            returning media_id, category, counted
        ), origins as (
            insert into audit_origins (time, entry_id, salt, address, user_agent)
            select time, entry_id, salt, address, user_agent from complete
            where address <> '' or user_agent <> ''
            on conflict (time, entry_id) do nothing
        )
        select media_id::text as media_id, category from entries
        where counted and media_id is not null
    """
    rows = json.dumps([entry.row() for entry in entries])
    return await db.execute(statement.encode(), (rows,))


# Adds events to the outbox as they are.
ADD_EVENTS = """
    insert into event_outbox (event)
    select e from jsonb_array_elements(%s::jsonb) with ordinality as given (e, n) order by n
"""
# The same, but those about a media get the next numbers of its sequence, and what consumers need to
# know about it. The media are locked in the order of their ids. The insert takes the positions
# after that, because it begins when all rows are sorted.
ADD_COUNTED_EVENTS = """
    with given as (
        select e, n, (e ->> 'media_id')::uuid as media_id, (e ->> 'counted')::boolean as counted
        from jsonb_array_elements(%s::jsonb) with ordinality as given (e, n)
    ), locked as materialized (
        select m.media_id from media m
        where m.media_id in (select media_id from given where counted)
        order by m.media_id
        for no key update
    ), counted as (
        update media m set event_sequence = m.event_sequence + c.count
        from (
            select g.media_id, count(*) as count
            from given g join locked l on l.media_id = g.media_id
            where g.counted
            group by g.media_id
        ) c
        where m.media_id = c.media_id
        returning m.media_id, m.event_sequence - c.count as before, m.org_id, m.owner_type,
                  m.owner_id, m.project_id, m.kind, m.state, m.version, m.visibility
    )
    insert into event_outbox (event)
    select case when c.media_id is null then g.e - 'counted' else
        g.e - 'counted' || jsonb_build_object(
            'sequence',
            c.before + row_number() over (partition by g.media_id, g.counted order by g.n),
            'org_id', c.org_id, 'owner_type', c.owner_type, 'owner_id', c.owner_id,
            'project_id', c.project_id,
            'data', g.e -> 'data' || jsonb_build_object(
                'kind', c.kind, 'state', c.state, 'version', c.version,
                'visibility', c.visibility
            )
        ) end
    from given g
    left join counted c on c.media_id = g.media_id and g.counted
    order by g.n
"""


async def insert_events(db: AsyncConnection[DictRow], events: Sequence[Event]) -> None:
    """Adds events to the outbox, in one statement."""
    if not any(event.counted for event in events):
        await db.execute(ADD_EVENTS, (json.dumps([event.row() for event in events]),))
        return
    rows = [{**event.row(), "counted": event.counted} for event in events]
    await db.execute(ADD_COUNTED_EVENTS, (json.dumps(rows),))
