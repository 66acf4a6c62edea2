"""SQL of upload sessions."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg.sql import SQL
from psycopg.types.json import Jsonb

from media_service.access.lists import Key, Table, after_sql, order_sql, page_of
from media_service.access.owner import Owner
from media_service.access.policy import Condition
from media_service.access.principal import LINK, Principal
from media_service.access.queries import (
    CALLER,
    Scope,
    caller_params,
    media_keys,
    project_keys,
    role,
    writable_by_link,
)
from media_service.access.role import Role
from media_service.db.database import json_bytes
from media_service.db.due_rows import Due
from media_service.db.transaction import Connection, Rows
from media_service.errors import Fault, Reason
from media_service.idempotency.model import KEPT
from media_service.media.model import NewMedia
from media_service.media.policy import policies_from
from media_service.media.queries import attributes_from_json, attributes_to_json
from media_service.storage.checksums import Checksums
from media_service.uploads.model import (
    Checkpoint,
    NewUpload,
    Part,
    Upload,
    UploadSpec,
    UploadState,
)

COLUMN_NAMES = (
    "u.*, u.upload_id::text as upload_id, u.media_id::text as media_id, u.blob_id::text as blob_id"
)
COLUMNS = SQL(COLUMN_NAMES)
SELECT = SQL("select {} from uploads u ").format(COLUMNS)
ROLE = role("u", media_keys("u", "media_id"))
# Its owner needs no grant, and a file is replaced by those who may change its media.
PROJECT_ROLE = f"""
    case when u.replaces or u.project_id = '' then {Role.OWNER:d} else coalesce((
        select {role("p", project_keys("p"))} from projects p where p.project_id = u.project_id
    ), 0) end
"""
SCREENED = """
    exists (
        select from blocked_files f where f.scope in ('service:', 'organization:' || u.org_id)
    )
"""
# Of a guest, who may write the uploads of their link, as long as it works.
GUEST_ROLE = writable_by_link(
    "case when u.share_link_id::text = c.owner_id then 'project:' || u.project_id end", "0"
)
TABLE = Table("uploads", "u", "upload_id", "media_id")
NEWEST = (Key("create_time", descending=True), Key("upload_id", descending=True))


def for_callers(statement: str) -> Mapping[bool, bytes]:
    """A statement by whether its caller is a share link. In it, `{role}` and `{project_role}` stand
    for the caller's roles on the upload and on its project."""
    roles = {True: (GUEST_ROLE, GUEST_ROLE), False: (ROLE, PROJECT_ROLE)}
    return {
        link: statement.format(
            columns=COLUMN_NAMES, role=role, project_role=project_role, caller=CALLER
        ).encode()
        for link, (role, project_role) in roles.items()
    }


GET = for_callers(
    "select {columns}, {role} as role from {caller} cross join uploads u where u.upload_id = %s"
)
GET_TO_WRITE = for_callers("""
    select {columns}, {role} as role, {project_role} as project_role
    from {caller} cross join uploads u where u.upload_id = %s
""")
LOCK_TO_FINISH = for_callers(f"""
    select {{columns}}, {{role}} as role, {{project_role}} as project_role, {SCREENED} as screened
    from {{caller}} cross join uploads u where u.upload_id = %s for update of u
""")


def is_link(principal: Principal | None) -> bool:
    return principal is not None and principal.type == LINK


def record(row: Mapping[str, Any]) -> Upload:
    fault = None
    if row["error_reason"]:
        fault = Fault(row["error_reason"], row["error_message"])
    return Upload(
        upload_id=row["upload_id"],
        media_id=row["media_id"],
        spec=UploadSpec(
            filename=row["filename"],
            content_type=row["content_type"],
            size_bytes=row["size_bytes"],
            max_size_bytes=row["max_size_bytes"],
            checksums=Checksums(row["crc32c"], row["sha256"]),
            project_id=row["project_id"],
            attributes=attributes_from_json(row["attributes"]),
            media_id=row["media_id"] if row["replaces"] else "",
            if_etag=row["if_etag"],
        ),
        owner=Owner(row["owner_type"], row["owner_id"], row["org_id"]),
        state=UploadState(row["state"]),
        blob_id=row["blob_id"],
        store_session=row["store_session"],
        epoch=row["epoch"],
        next_part=row["next_part"],
        parts_since=row["parts_since"],
        settled=row["settled"],
        committed_size=row["committed_size"],
        create_time=row["create_time"],
        update_time=row["update_time"],
        expire_time=row["expire_time"],
        fault=fault,
        role=Role(row.get("role") or Role.NONE),
        project_role=Role(row.get("project_role") or Role.NONE),
        policies=policies_from(row["policies"]),
        screened=bool(row.get("screened")),
        version=row["version"],
    )


async def insert(
    db: Connection, new: NewUpload, store_session: str, epoch: int, expiry: timedelta
) -> Upload | None:
    """Adds a session. Returns None if the id of its blob was retired."""
    spec = new.spec
    rows = await db.execute(
        SQL("""
        insert into uploads as u
            (upload_id, media_id, org_id, owner_type, owner_id, state, filename, content_type,
             size_bytes, max_size_bytes, crc32c, sha256, project_id, attributes, policies, blob_id,
             store_session, epoch, share_link_id, replaces, if_etag, expire_time)
        values (%s, %s, %s, %s, %s, 'ACTIVE', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,
                %s, %s, now() + %s)
        on conflict do nothing
        returning {}
        """).format(COLUMNS),
        (
            new.upload_id,
            new.media_id,
            new.owner.org_id,
            new.owner.type,
            new.owner.id,
            spec.filename,
            spec.content_type,
            spec.size_bytes,
            spec.max_size_bytes,
            spec.checksums.crc32c,
            spec.checksums.sha256,
            spec.project_id,
            Jsonb(attributes_to_json(spec.attributes)),
            Jsonb(new.policies.to_json()) if new.policies.stated else None,
            new.blob_id,
            store_session,
            epoch,
            new.share_link_id,
            spec.replaces,
            spec.if_etag,
            expiry,
        ),
    )
    row = await rows.fetchone()
    return record(row) if row else None


async def insert_finished(
    db: Connection, uploads: Sequence[NewUpload], media: Sequence[NewMedia]
) -> Rows:
    """Adds FINISHED uploads, one for each media. Returns rows with their `create_time`."""
    added = [
        {
            "upload_id": new.upload_id,
            "media_id": new.media_id,
            "org_id": new.owner.org_id,
            "owner_type": new.owner.type,
            "owner_id": new.owner.id,
            "filename": new.spec.filename,
            "content_type": new.spec.content_type,
            "size_bytes": new.spec.size_bytes,
            "max_size_bytes": new.spec.max_size_bytes,
            "crc32c": new.spec.checksums.crc32c,
            "sha256": json_bytes(new.spec.checksums.sha256),
            "project_id": new.spec.project_id,
            "attributes": attributes_to_json(new.spec.attributes),
            "blob_id": new.blob_id,
            "share_link_id": new.share_link_id,
            "replaces": new.spec.replaces,
            "if_etag": new.spec.if_etag,
            "committed_size": one.blob.size_bytes,
        }
        for new, one in zip(uploads, media, strict=True)
    ]
    return await db.execute(
        """
        insert into uploads (upload_id, media_id, org_id, owner_type, owner_id, state, filename,
                             content_type, size_bytes, max_size_bytes, crc32c, sha256, project_id,
                             attributes, blob_id, share_link_id, replaces, if_etag, epoch,
                             committed_size, expire_time)
        select upload_id, media_id, org_id, owner_type, owner_id, 'FINISHED', filename,
               content_type, size_bytes, max_size_bytes, crc32c, sha256, project_id, attributes,
               blob_id, share_link_id, replaces, if_etag, 1, committed_size, now()
        from json_to_recordset(%s::json) as added (
            upload_id uuid, media_id uuid, org_id text, owner_type text, owner_id text,
            filename text, content_type text, size_bytes bigint, max_size_bytes bigint,
            crc32c bigint, sha256 bytea, project_id text, attributes jsonb, blob_id uuid,
            share_link_id uuid, replaces boolean, if_etag text, committed_size bigint
        )
        returning create_time
        """,
        (json.dumps(added),),
    )


async def count_open(db: Connection, owner: Owner, most: int) -> int:
    """The unfinished uploads of an owner and of the service accounts that belong to it, or those by
    a share link. Counts up to `most`."""
    if owner.type == LINK:
        return await count_open_by_guests(db, owner.id)
    name = (owner.org_id, owner.type, owner.id)
    rows = await db.execute(
        """
        select count(*) as count from (
            select from uploads
            where state = 'ACTIVE' and org_id = %s and owner_type = %s and owner_id = %s
              and share_link_id is null
            union all
            select from service_accounts a
            join uploads u on u.state = 'ACTIVE' and u.org_id = a.org_id
                and u.owner_type = 'service_account' and u.owner_id = a.service_account_id::text
            where a.org_id = %s and a.owner_type = %s and a.owner_id = %s
            limit %s
        ) open
        """,
        (*name, *name, most),
    )
    row = await rows.fetchone()
    return int(row["count"]) if row else 0


async def count_open_by_guests(db: Connection, share_link_id: str) -> int:
    rows = await db.execute(
        "select count(*) as count from uploads where state = 'ACTIVE' and share_link_id = %s",
        (share_link_id,),
    )
    row = await rows.fetchone()
    return int(row["count"]) if row else 0


async def get(db: Connection, upload_id: str, principal: Principal | None = None) -> Upload | None:
    """Returns an upload, with the role of the caller."""
    params = (*caller_params(principal), upload_id)
    rows = await db.execute(GET[is_link(principal)], params)
    row = await rows.fetchone()
    return record(row) if row else None


async def get_to_write(db: Connection, upload_id: str, principal: Principal) -> Upload | None:
    """Like `get`, also with the role of the caller on the upload's project."""
    params = (*caller_params(principal), upload_id)
    rows = await db.execute(GET_TO_WRITE[is_link(principal)], params)
    row = await rows.fetchone()
    return record(row) if row else None


async def lock(db: Connection, upload_id: str) -> Upload | None:
    """Returns an upload, and locks its row until the transaction ends."""
    rows = await db.execute(SELECT + SQL("where u.upload_id = %s for update"), (upload_id,))
    row = await rows.fetchone()
    return record(row) if row else None


async def lock_to_finish(db: Connection, upload_id: str, principal: Principal) -> Upload | None:
    """Like `get_to_write`, also with `Upload.screened`, and locks the row until the transaction
    ends."""
    params = (*caller_params(principal), upload_id)
    rows = await db.execute(LOCK_TO_FINISH[is_link(principal)], params)
    row = await rows.fetchone()
    return record(row) if row else None


async def stored_crc32c(db: Connection, upload_id: str) -> int | None:
    """The CRC32C of a finished upload's blob, or None if the blob is deleted."""
    rows = await db.execute(
        "select b.crc32c from uploads u join blobs b on b.blob_id = u.blob_id"
        " where u.upload_id = %s",
        (upload_id,),
    )
    row = await rows.fetchone()
    return row["crc32c"] if row else None


async def prolong_keys(db: Connection) -> None:
    """Extends the idempotency keys of unfinished uploads that would expire within an hour."""
    await db.execute(
        """
        update idempotency_keys k set expire_time = now() + %s
        from uploads u
        where u.upload_id = k.resource_id and u.state in ('ACTIVE', 'VERIFYING')
          and k.expire_time < now() + interval '1 hour'
        """,
        (KEPT,),
    )


async def page(
    db: Connection,
    scope: Scope,
    conditions: Sequence[Condition],
    state: UploadState | None,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[Upload]:
    """Uploads `u` in scope that meet the conditions, newest first, older than `after`
    (create_time, upload_id)."""
    where = list(conditions)
    if state is not None:
        where.append(Condition("u.state = %s", (state,)))
    if after is not None:
        where.append(after_sql("u", NEWEST, after))
    page = page_of(TABLE, scope, where, NEWEST, limit)
    rows = await db.execute(
        SQL("with " + page.sql)
        + SELECT
        + SQL("join page on page.id = u.upload_id order by " + order_sql("u", NEWEST)),
        page.params,
    )
    return [record(row) async for row in rows]


async def parts(db: Connection, upload_id: str) -> list[Part]:
    """All parts by number, including parts that are only claimed."""
    rows = await db.execute(
        "select number, size_bytes, crc32c, epoch, sealed, stored, replaceable from upload_parts"
        " where upload_id = %s order by number",
        (upload_id,),
    )
    found: list[Part] = []
    offset = 0
    async for row in rows:
        part = Part(
            row["number"],
            offset,
            row["size_bytes"],
            row["crc32c"],
            row["epoch"],
            row["sealed"],
            row["stored"],
            replaceable=row["replaceable"],
        )
        found.append(part)
        offset += part.size
    return found


async def highest_part(db: Connection, upload_id: str) -> tuple[int, int] | None:
    """The number and size of the stored or claimed part with the highest number."""
    rows = await db.execute(
        "select number, size_bytes from upload_parts where upload_id = %s"
        " order by number desc limit 1",
        (upload_id,),
    )
    row = await rows.fetchone()
    return (row["number"], row["size_bytes"]) if row else None


async def take_over(db: Connection, upload_id: str) -> Upload | None:
    """Increments the epoch for a new stream, which supersedes all earlier writers.

    Returns None if the upload is not ACTIVE, or if a stored part lies beyond the position at which
    the stream would continue. The caller must hold a lock on the row. Otherwise, the statement
    could see an older state of the parts than of the upload.
    """
    rows = await db.execute(
        SQL("""
        update uploads u
        set epoch = epoch + 1, parts_since = null, settled = false
        where upload_id = %s and state = 'ACTIVE'
          and not exists (
              select from upload_parts p
              where p.upload_id = u.upload_id and p.stored and p.number >= u.next_part
          )
        returning {}
        """).format(COLUMNS),
        (upload_id,),
    )
    row = await rows.fetchone()
    return record(row) if row else None


async def set_session(db: Connection, upload: Upload, store_session: str) -> Upload | None:
    """Records a new store session for the upload. `upload` is the state that the caller knows.

    Returns None if the upload has a different session by now, or if the caller was superseded. An
    upload that takes parts becomes settled and needs no further session.
    """
    rows = await db.execute(
        SQL("""
        update uploads u
        set store_session = %(fresh)s, settled = parts_since is not null
        where upload_id = %(upload_id)s and state = 'ACTIVE' and not settled
          and store_session = %(before)s
          and (epoch = %(epoch)s or parts_since = %(parts_since)s)
        returning {}
        """).format(COLUMNS),
        {
            "fresh": store_session,
            "upload_id": upload.upload_id,
            "before": upload.store_session,
            "epoch": upload.epoch,
            "parts_since": upload.parts_since,
        },
    )
    row = await rows.fetchone()
    return record(row) if row else None


async def checkpoint(
    db: Connection, checkpoints: Sequence[Checkpoint], *, wait: bool = True
) -> set[tuple[str, int]]:
    """Counts durable bytes, of many uploads in one statement.

    Returns the upload and the epoch of those that are counted. A checkpoint of an older epoch than
    the current one is not. Without `wait`, neither is one whose row is locked, so that no upload
    waits for another, and no two statements for each other.
    """
    added = [
        {
            "upload_id": one.upload_id,
            "epoch": one.epoch,
            "committed_size": one.committed_size,
            "next_part": max((part.number + 1 for part in one.parts), default=0),
            "expiry": one.expiry.total_seconds(),
            "settled": one.last,
            "number": [part.number for part in one.parts],
            "size": [part.size for part in one.parts],
            "crc32c": [part.crc32c for part in one.parts],
            "sealed": [part.sealed for part in one.parts],
        }
        for one in checkpoints
    ]
    rows = await db.execute(
        SQL("""
        with given as materialized (
            select * from json_to_recordset(%s::json) as given (
                upload_id uuid, epoch int, committed_size bigint, next_part int, expiry float,
                settled bool, number int[], size bigint[], crc32c bigint[], sealed bool[]
            )
        ), held as materialized (
            -- Lateral: one look into the index for each, whatever the statistics of the table say.
            select found.upload_id from given cross join lateral (
                select u.upload_id from uploads u
                where u.upload_id = given.upload_id and u.epoch = given.epoch
                  and u.state = 'ACTIVE'
                for update {}
            ) as found
        ), counted as (
            update uploads u
            set committed_size = given.committed_size, update_time = now(),
                expire_time = case
                    when u.expire_time >= now() + make_interval(secs => given.expiry)
                    then u.expire_time
                    -- A little later, because changing an indexed column at every checkpoint would
                    -- change all indexes.
                    else now() + make_interval(secs => given.expiry * 1.01)
                end,
                next_part = greatest(u.next_part, given.next_part), settled = given.settled
            from held join given using (upload_id)
            where u.upload_id = held.upload_id and u.epoch = given.epoch and u.state = 'ACTIVE'
              and not exists (
                  select from upload_parts p
                  where p.upload_id = given.upload_id and p.number = any(given.number)
                    and p.epoch <> given.epoch
              )
            returning u.upload_id, u.epoch
        ), written as (
            insert into upload_parts (upload_id, number, size_bytes, crc32c, epoch, sealed)
            select upload_id, part.number, part.size, part.crc32c, given.epoch, part.sealed
            from counted join given using (upload_id, epoch), unnest(
                given.number, given.size, given.crc32c, given.sealed
            ) as part (number, size, crc32c, sealed)
            on conflict (upload_id, number) do update
            set size_bytes = excluded.size_bytes, crc32c = excluded.crc32c,
                sealed = excluded.sealed
        )
        select upload_id::text, epoch from counted
        """).format(SQL("" if wait else "skip locked")),
        (json.dumps(added),),
    )
    return {(row["upload_id"], row["epoch"]) async for row in rows}


async def begin_verifying(
    db: Connection,
    upload_id: str,
    checksums: Checksums,
    size: int,
    next_part: int,
    verifier: int | None = None,
    completer: Principal | None = None,
) -> None:
    """Changes an upload from ACTIVE to VERIFYING, and increments the epoch to stop all writers.

    `checksums` are all that were declared. `size` is the total size of all stored parts. `verifier`
    is the presence of the server that completes the upload, or None if a job does. `completer` is
    the caller whose access decides whether it is completed. The caller of this function must hold a
    lock on the row.
    """
    await db.execute(
        "update uploads set state = 'VERIFYING', epoch = epoch + 1, crc32c = coalesce(%s, crc32c),"
        " sha256 = coalesce(%s, sha256), committed_size = %s, next_part = %s, verifier = %s,"
        " completer = %s, update_time = now() where upload_id = %s",
        (
            checksums.crc32c,
            checksums.sha256,
            size,
            next_part,
            verifier,
            Jsonb(completer.as_json()) if completer else None,
            upload_id,
        ),
    )


async def completer(db: Connection, upload_id: str) -> Principal | None:
    """The caller who completes an upload. None: an earlier release did not record it."""
    rows = await db.execute("select completer from uploads where upload_id = %s", (upload_id,))
    row = await rows.fetchone()
    return Principal.from_json(row["completer"]) if row and row["completer"] else None


async def verifier_is_gone(db: Connection, upload_id: str) -> bool:
    """Whether the server that verifies an upload has died or lost its connection.

    Its advisory lock is free then. Call it in a transaction, whose end releases the lock."""
    rows = await db.execute(
        "select coalesce(pg_try_advisory_xact_lock(verifier), false) as gone from uploads"
        " where upload_id = %s and state = 'VERIFYING'",
        (upload_id,),
    )
    row = await rows.fetchone()
    return row is not None and row["gone"]


async def end(
    db: Connection,
    upload_id: str,
    before: UploadState,
    after: UploadState,
    fault: Fault | None = None,
) -> bool:
    """Changes the state from `before` to the final state `after`. Returns False if the upload was
    not in state `before`."""
    done = await db.execute(
        "update uploads set state = %s, error_reason = %s, error_message = %s, completer = null,"
        " update_time = now() where upload_id = %s and state = %s",
        (
            after,
            fault.reason if fault else None,
            fault.message if fault else None,
            upload_id,
            before,
        ),
    )
    return done.rowcount == 1


async def set_version(db: Connection, upload_id: str, version: int) -> None:
    """Records the version that an upload has created."""
    await db.execute("update uploads set version = %s where upload_id = %s", (version, upload_id))


async def drop_claims(db: Connection, upload_id: str) -> bool:
    """Deletes claimed parts that are not stored. Returns whether there were any."""
    done = await db.execute(
        "delete from upload_parts where upload_id = %s and not stored", (upload_id,)
    )
    return done.rowcount > 0


async def forget_parts(db: Connection, upload_id: str) -> None:
    await db.execute("delete from upload_parts where upload_id = %s", (upload_id,))


TO_EXPIRE = Due("uploads", "upload_id", "expire_time", "state = 'ACTIVE'")


async def expire(db: Connection, upload_ids: Sequence[str]) -> list[Upload]:
    """Sets locked sessions to EXPIRED. Returns them, so that their bytes can be removed."""
    rows = await db.execute(
        SQL("""
        update uploads u set state = 'EXPIRED', update_time = now()
        where upload_id = any(%s::uuid[]) and state = 'ACTIVE'
        returning {}
        """).format(COLUMNS),
        (list(upload_ids),),
    )
    return [record(row) async for row in rows]


async def ended(db: Connection, ttl: timedelta, limit: int) -> list[str]:
    """Locks and returns uploads that ended longer than `ttl` ago. Skips uploads that are locked.

    An upload remains while a job must still remove or join its bytes, and, if it failed because its
    store was unavailable, until it expires.
    """
    rows = await db.execute(
        """
        select u.upload_id::text as upload_id from uploads u
        where u.state in ('FINISHED', 'FAILED', 'ABORTED', 'EXPIRED')
          and not (u.owner_type = 'service' and u.owner_id = 'reconcile')
          and u.update_time < now() - %s
          and not (u.state = 'FAILED' and u.error_reason = %s and u.expire_time > now())
          and not exists (
              select from jobs j
              where j.subject_id = u.upload_id and j.state in ('QUEUED', 'RUNNING')
          )
        order by u.update_time limit %s for update of u skip locked
        """,
        (ttl, Reason.STORAGE_UNAVAILABLE, limit),
    )
    return [row["upload_id"] async for row in rows]


async def forget(db: Connection, upload_ids: Sequence[str], max_parts: int) -> bool:
    """Removes uploads and their parts. If they have more than `max_parts` parts, removes only that
    many parts, and returns False."""
    done = await db.execute(
        """
        delete from upload_parts where (upload_id, number) in (
            select upload_id, number from upload_parts where upload_id = any(%s::uuid[]) limit %s
        )
        """,
        (list(upload_ids), max_parts),
    )
    if done.rowcount == max_parts:
        return False
    await db.execute("delete from uploads where upload_id = any(%s::uuid[])", (list(upload_ids),))
    return True
