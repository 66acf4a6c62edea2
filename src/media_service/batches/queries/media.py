"""SQL of batches: each statement changes all media of a batch."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from psycopg.sql import SQL, Identifier

from media_service.access.lists import Key, page_of
from media_service.access.owner import Owner
from media_service.access.policy import Condition
from media_service.access.principal import Principal
from media_service.access.queries import (
    CALLER,
    CALLER_UNTIL,
    Scope,
    caller_params,
    caller_until_params,
    owner_key,
    project_keys,
    role,
)
from media_service.access.role import Role
from media_service.batches.model import Tagged
from media_service.db.event_types import OF_MEDIA
from media_service.db.new_event import Numbered
from media_service.db.notifications import JobChanged
from media_service.db.transaction import Connection, Rows
from media_service.errors import Reason
from media_service.media import selection
from media_service.media.queries import KEYS, TABLE, column

NEWEST = (Key("create_time", descending=True), Key("media_id", descending=True))
LASTING_ROLE = role("m", KEYS, at="c.until")
# A change of a media takes the number of its event, so that the row is not written twice.
CHANGED = "revision = m.revision + 1, update_time = now(), event_sequence = m.event_sequence + 1"
NUMBERED = (
    "m.media_id::text as media_id, m.event_sequence, m.org_id, m.owner_type, m.owner_id,"
    " m.project_id, m.kind, m.state, m.version, m.visibility"
)
# What media are in decides the role on most of them, and is the same for many. Only where it gives
# too low a role is that on the media itself computed.
IN_CONTAINERS = role("p", (owner_key("p"), *project_keys("p")))
TAGGED = f"""
    with caller as materialized (select c.* from {CALLER}),
    asked as materialized (
        select m.media_id, m.org_id, m.owner_type, m.owner_id, m.project_id, m.revision, m.tags,
               m.delete_time is not null as deleted
        from media m where m.media_id = any(%s::uuid[])
    ), places as materialized (
        select p.*, {IN_CONTAINERS} as role
        from caller c
        cross join (select distinct org_id, owner_type, owner_id, project_id from asked) p
    )
    select m.*, m.media_id::text as media_id,
           case when p.role >= %s then p.role else {role("m", KEYS)} end as role
    from asked m join places p using (org_id, owner_type, owner_id, project_id)
    cross join caller c
"""


async def matching(
    db: Connection, principal: Principal, filter_text: str, minimum: Role
) -> tuple[Scope, list[Condition]]:
    """What a filter selects among the media on which the caller has a role. Raises InvalidArgument
    (INVALID_FILTER)."""
    found, where = await selection.select(db, principal, filter_text, minimum)
    return found, [Condition("m.delete_time is null", ()), *where]


async def select(
    db: Connection, scope: Scope, conditions: Sequence[Condition], limit: int
) -> list[str]:
    """The ids of the media in scope that meet all conditions, newest first."""
    page = page_of(TABLE, scope, conditions, NEWEST, limit)
    query = (
        f"with {page.sql} select m.media_id::text as media_id from page"
        " join media m on m.media_id = page.id order by m.create_time desc, m.media_id desc"
    )
    rows = await db.execute(query.encode(), page.params)
    return [row["media_id"] async for row in rows]


async def lock(db: Connection, media_ids: Sequence[str]) -> None:
    """Locks media in the order of their ids, so that two batches do not wait for each other."""
    await db.execute(
        "select from media where media_id = any(%s::uuid[]) order by media_id for update",
        (list(media_ids),),
    )


async def lasting_owner(db: Connection, principal: Principal, media_ids: Sequence[str]) -> set[str]:
    """Those of which the caller is OWNER without an end."""
    rows = await db.execute(
        f"select m.media_id::text as media_id from {CALLER_UNTIL} cross join media m"
        f" where m.media_id = any(%s::uuid[]) and {LASTING_ROLE} >= {Role.OWNER:d}".encode(),
        (*caller_until_params(principal, None), list(media_ids)),
    )
    return {row["media_id"] async for row in rows}


async def tagged(
    db: Connection, principal: Principal, media_ids: Sequence[str], enough: Role
) -> list[Tagged | None]:
    """The media that exist, with the role of the caller, which may be a higher one if it is
    `enough`."""
    params = (*caller_params(principal), list(media_ids), int(enough))
    rows = await db.execute(TAGGED.encode(), params)
    found = {
        row["media_id"]: Tagged(
            row["media_id"],
            Owner(row["owner_type"], row["owner_id"], row["org_id"]),
            row["project_id"],
            row["revision"],
            Role(row["role"]),
            row["tags"],
            row["deleted"],
        )
        for row in await rows.fetchall()
    }
    return [found.get(media_id) for media_id in media_ids]


async def numbered(rows: Rows) -> Mapping[str, Numbered]:
    """The numbers of the events of changed media, by media."""
    return {
        row["media_id"]: Numbered(
            row["event_sequence"],
            Owner(row["owner_type"], row["owner_id"], row["org_id"]),
            row["project_id"],
            {name: row[name] for name in OF_MEDIA},
        )
        for row in await rows.fetchall()
    }


async def set_tags(db: Connection, tags: Mapping[str, Sequence[str]]) -> Mapping[str, Numbered]:
    new = [{"media_id": media_id, "tags": of_media} for media_id, of_media in tags.items()]
    rows = await db.execute(
        f"""
        update media m set tags = n.tags, {CHANGED}
        from json_to_recordset(%s::json) as n (media_id uuid, tags text[])
        where m.media_id = n.media_id returning {NUMBERED}
        """.encode(),
        (json.dumps(new),),
    )
    return await numbered(rows)


async def set_fields(
    db: Connection, media_ids: Sequence[str], values: Mapping[str, Any]
) -> Mapping[str, Numbered]:
    columns = SQL(", ").join(SQL("{} = %s").format(Identifier(name)) for name in values)
    rows = await db.execute(
        SQL(
            "update media m set {columns}, {changed} where media_id = any(%s::uuid[])"
            " returning {numbered}"
        ).format(columns=columns, changed=SQL(CHANGED), numbered=SQL(NUMBERED)),
        (*(column(value) for value in values.values()), list(media_ids)),
    )
    return await numbered(rows)


async def set_deleted(
    db: Connection, media_ids: Sequence[str], purge_after: timedelta
) -> Mapping[str, Numbered]:
    rows = await db.execute(
        "update media m set delete_time = now(),"
        f" purge_time = now() + kept_deleted(org_id, project_id, %s), {CHANGED}"
        f" where media_id = any(%s::uuid[]) returning {NUMBERED}".encode(),
        (purge_after, list(media_ids)),
    )
    return await numbered(rows)


async def stop_jobs_of_deleted(db: Connection, media_ids: Sequence[str]) -> None:
    """Fails the jobs on deleted media that have not ended, as `changing.stop_all` does."""
    rows = await db.execute(
        "update jobs set state = 'FAILED', lease_until = null, stage = '', error_reason = %s,"
        " error_message = 'The media was deleted.',"
        " error_metadata = jsonb_build_object('media_id', subject_id),"
        " update_time = now(), end_time = now()"
        " where subject_id = any(%s::uuid[])"
        " and state in ('QUEUED', 'RUNNING') and owner_type is not null"
        " returning job_id::text as job_id",
        (Reason.MEDIA_DELETED, list(media_ids)),
    )
    async for row in rows:
        db.notify(JobChanged(row["job_id"]))


async def move(
    db: Connection, media_ids: Sequence[str], owner: Owner | None, project_id: str | None
) -> Mapping[str, Numbered]:
    """Gives media to an owner, a project, or both, with their uploads and their jobs."""
    values: dict[str, str] = {}
    if owner is not None:
        values |= {"owner_type": owner.type, "owner_id": owner.id}
    if project_id is not None:
        values["project_id"] = project_id
    columns = SQL(", ").join(SQL("{} = %s").format(Identifier(name)) for name in values)
    # In the order of `media.queries.move`.
    params = (*values.values(), list(media_ids))
    for table, key in (("jobs", "subject_id"), ("uploads", "media_id")):
        await db.execute(
            SQL("update {} set {} where {} = any(%s::uuid[]) and owner_type is not null").format(
                Identifier(table), columns, Identifier(key)
            ),
            params,
        )
    rows = await db.execute(
        SQL(
            "update media m set {columns}, {changed} where media_id = any(%s::uuid[])"
            " returning {numbered}"
        ).format(columns=columns, changed=SQL(CHANGED), numbered=SQL(NUMBERED)),
        params,
    )
    return await numbered(rows)


async def rendering(
    db: Connection, media_ids: Sequence[str], rendition: str, pipeline: str
) -> set[str]:
    """The media of which a job is about to render this rendition with this pipeline."""
    rows = await db.execute(
        "select distinct subject_id::text as media_id from jobs where subject_id = any(%s::uuid[])"
        " and state in ('QUEUED', 'RUNNING') and rendition = %s and pipeline = %s",
        (list(media_ids), rendition, pipeline),
    )
    return {row["media_id"] async for row in rows}
