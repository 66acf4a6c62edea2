"""Creates the partitions of the audit log ahead, and drops those that are older than the settings
allow."""

from datetime import UTC, date, datetime, timedelta

from media_service.audit.queries import partitions as queries
from media_service.db.database import Database
from media_service.jobs.periodic import Batches

AHEAD_DAYS = 3
BATCH = 1000
# Views that are older do not matter; see `audit/repeats.py`.
KEEP_VIEWS = timedelta(hours=1)


async def maintain_partitions(
    database: Database, keep_audit: timedelta, keep_audit_addresses: timedelta
) -> Batches:
    """Creates and drops one partition per transaction, so that writers wait for it a short time."""
    kept = {
        "audit_entries": keep_audit,
        "audit_origins": min(keep_audit, keep_audit_addresses),
    }
    async with database.connection() as db:
        today = await queries.today(db)
    for table, keep in kept.items():
        for ahead in range(AHEAD_DAYS + 1):
            yield await create_if_missing(database, table, today + timedelta(days=ahead))
        oldest = today - keep
        async with database.connection() as db:
            names = await queries.names(db, table)
        for name in sorted(names):
            if day_of(table, name) < oldest:
                async with database.transaction() as tx:
                    if await queries.lock(tx) and name in await queries.names(tx, table):
                        await queries.drop(tx, name)
                yield 1
        async with database.connection() as db:
            yield await queries.remove_before(db, table, start_of(oldest))


async def create_if_missing(database: Database, table: str, day: date) -> int:
    name = f"{table}_{day:%Y%m%d}"
    async with database.transaction() as tx:
        if not await queries.lock(tx) or name in await queries.names(tx, table):
            return 0
        end = day + timedelta(days=1)
        await queries.create(tx, table, name, start_of(day), start_of(end))
    return 1


def start_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def day_of(table: str, name: str) -> date:
    return datetime.strptime(name, f"{table}_%Y%m%d").replace(tzinfo=UTC).date()


async def remove_old(
    database: Database, keep_audit: timedelta, keep_audit_addresses: timedelta
) -> Batches:
    """Removes what is in tables without partitions."""
    time = datetime.now(UTC)
    for remove, before in (
        (queries.remove_views, time - KEEP_VIEWS),
        (queries.remove_people, time - keep_audit_addresses),
        (queries.remove_former_names, time - keep_audit),
        (queries.remove_days, time - keep_audit),
    ):
        removed = BATCH
        while removed == BATCH:
            async with database.connection() as db:
                removed = await remove(db, before, BATCH)
            yield removed
