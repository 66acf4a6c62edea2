"""SQL of virus scans."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TypeAlias

from psycopg.types.json import Jsonb

from media_service.db.notifications import JobRunnable
from media_service.db.transaction import Connection
from media_service.errors import Fault, Reason
from media_service.media.model import Media, Scan, ScanState

# A media id, and the number of a version.
MediaVersion: TypeAlias = tuple[str, int]
# The reasons for which a scan quarantines media.
QUARANTINE_REASONS = (Reason.THREAT_FOUND, Reason.TOO_LARGE_TO_SCAN)


async def set_scan(db: Connection, media_id: str, version: int, scan: Scan) -> None:
    await db.execute(
        "update media_versions set scan_state = %s, scan_held = %s, scan_reason = %s,"
        " scan_threat = %s, scan_engine = %s, scan_time = %s where media_id = %s and version = %s",
        (
            scan.state,
            scan.held,
            scan.reason,
            scan.threat,
            scan.engine,
            scan.time,
            media_id,
            version,
        ),
    )


def row_of(media: Media) -> str:
    """The row with the state of the version that a media shows, and the condition for it."""
    table = "media" if media.current else "media_versions"
    return f"{table} where media_id = %(media_id)s and version = %(version)s"


async def quarantine(db: Connection, media: Media, fault: Fault) -> None:
    """Quarantines the version that a media shows. One that is in quarantine for another reason
    keeps that reason."""
    table, _, which = row_of(media).partition(" ")
    await db.execute(
        f"""
        update {table} set state = 'QUARANTINED', error_reason = %(reason)s,
            error_message = %(message)s, error_metadata = %(metadata)s
        {which} and (state <> 'QUARANTINED' or error_reason = any(%(reasons)s))
        """.encode(),
        {
            "media_id": media.media_id,
            "version": media.version,
            "reason": fault.reason,
            "message": fault.message,
            "metadata": Jsonb(fault.metadata),
            "reasons": list(QUARANTINE_REASONS),
        },
    )


async def end_quarantine(db: Connection, media: Media) -> bool:
    """Ends the quarantine that a scan began. Returns whether there was one."""
    table, _, which = row_of(media).partition(" ")
    done = await db.execute(
        f"""
        update {table} set state = case when info is null then 'PENDING' else 'READY' end,
            error_reason = null, error_message = null, error_metadata = null
        {which} and state = 'QUARANTINED' and error_reason = any(%(reasons)s)
        """.encode(),
        {
            "media_id": media.media_id,
            "version": media.version,
            "reasons": list(QUARANTINE_REASONS),
        },
    )
    return done.rowcount == 1


async def wake(db: Connection) -> None:
    """Makes the jobs claimable that wait because the engine could not be used."""
    done = await db.execute(
        "update jobs set ready = true, run_time = now(), update_time = now()"
        " where kind = 'SCAN' and state = 'QUEUED' and not ready and error_reason = %s",
        (Reason.SCAN_UNAVAILABLE,),
    )
    if done.rowcount:
        db.notify(JobRunnable())


async def misjudged(
    db: Connection, served: Sequence[ScanState], held: Sequence[ScanState], limit: int
) -> list[MediaVersion]:
    """Versions that are held although their scan is in a state that is `served`, and those that are
    not although it is in one that is `held`."""
    rows = await db.execute(
        """
        select media_id::text as media_id, version
        from (
            select media_id, version from media_versions
            where scan_held and scan_state = any(%(served)s)
            union all
            select media_id, version from media_versions
            where not scan_held and scan_state in ('PENDING', 'INFECTED', 'FAILED', 'TOO_LARGE')
              and scan_state = any(%(held)s)
        ) v
        limit %(limit)s
        """,
        {"served": list(served), "held": list(held), "limit": limit},
    )
    return [(row["media_id"], row["version"]) async for row in rows]


async def engine_of(db: Connection, version: str) -> str:
    """The engine and its signatures, as results name it: "ClamAV 1.4.3/27500", and "#2" after the
    second change of local signatures. `version`: what the engine itself reports."""
    rows = await db.execute("select changes from local_signatures")
    row = await rows.fetchone()
    return f"{version}#{row['changes']}" if row else version


async def count_change(db: Connection) -> None:
    """Counts a change of local signatures."""
    await db.execute(
        "insert into local_signatures (changes) values (1)"
        " on conflict (only_row) do update set changes = local_signatures.changes + 1"
    )


async def due(db: Connection, engine: str, pause: timedelta, open_jobs: int) -> list[MediaVersion]:
    """Versions whose original was last scanned by another engine or with other signatures, or
    never: the oldest first, so many that with them `open_jobs` are scanned again at a time.

    Leaves out those with a result of the last hour, maybe of a worker whose engine is not up to
    date, unless only local signatures have changed, and those whose job failed within `pause`.
    """
    one_side = """
        (
            select v.media_id, v.version, v.scan_engine, v.scan_time from media_versions v
            where v.scan_state <> 'PENDING' and v.scan_engine {} %(engine)s
              and (v.scan_engine = '' or v.scan_time < now() - interval '1 hour'
                   or split_part(v.scan_engine, '#', 1) = split_part(%(engine)s, '#', 1))
              and exists (
                  select from media m where m.media_id = v.media_id
                  and (coalesce(v.state, m.state) <> 'QUARANTINED'
                       or coalesce(v.error_reason, m.error_reason) = any(%(reasons)s))
              )
              and not exists (
                  select from jobs j where j.subject_id = v.media_id and j.kind = 'SCAN'
                  and (j.version = v.version or j.version = 0 and v.state is null)
                  and (j.state in ('QUEUED', 'RUNNING')
                       or j.state = 'FAILED' and j.end_time > now() - %(pause)s)
              )
            order by v.scan_engine, v.scan_time limit %(jobs)s
        )
    """
    query = f"""
        select media_id::text as media_id, version
        from ({one_side.format("<")} union all {one_side.format(">")}) as due
        order by scan_engine, scan_time
        limit greatest(0, %(jobs)s - (
            select count(*) from jobs
            where kind = 'SCAN' and owner_type is null and state in ('QUEUED', 'RUNNING')
        ))
    """
    rows = await db.execute(
        query.encode(),
        {
            "engine": engine,
            "reasons": list(QUARANTINE_REASONS),
            "pause": pause,
            "jobs": open_jobs,
        },
    )
    return [(row["media_id"], row["version"]) async for row in rows]
