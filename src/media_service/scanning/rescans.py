"""Starts scans: those that wait, those of what was stored before the service scanned, and again
those of what was scanned with other signatures."""

from datetime import timedelta

from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.errors import Unavailable
from media_service.jobs.model import JobKind
from media_service.scanning import queries
from media_service.scanning.scanner import Scanner

# Jobs that scan again, which have not ended. Each of them starts the next one.
OPEN_JOBS = 4
# After a scan failed for good.
PAUSE = timedelta(hours=6)


async def wake_scans(database: Database) -> None:
    """Starts the scans that wait because the engine could not be used."""
    async with database.connection() as db:
        await queries.wake(db)


async def local_signatures_changed(url: str) -> None:
    """Everything counts as scanned with other signatures from now on. `url`: of the database.
    Raises Unavailable."""
    async with Database(url, 1) as database, database.connection() as db:
        await queries.count_change(db)


async def start_rescans(database: Database, scanner: Scanner) -> int:
    """Starts jobs of the service itself, which take turns with those of owners. Returns how
    many."""
    try:
        version = scanner.version
    except Unavailable:
        return 0
    async with database.transaction() as tx:
        engine = await queries.engine_of(tx, version)
        due = await queries.due(tx, engine, PAUSE, OPEN_JOBS)
        await tx.enqueue(*(NewJob(JobKind.SCAN, id_, version=version) for id_, version in due))
    return len(due)
