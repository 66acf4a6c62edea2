"""Scans again, and follows changes of the policy."""

from dataclasses import replace

from media_service.db.database import Database
from media_service.jobs.model import JobKind
from media_service.jobs.periodic import MINUTE, Batches, PeriodicTask
from media_service.jobs.queries import changing
from media_service.media.model import NOT_SCANNED, Scan, ScanState
from media_service.media.versions import queries as versions
from media_service.scanning import queries
from media_service.scanning.policy import ScanPolicy
from media_service.scanning.rescans import start_rescans
from media_service.scanning.results import record
from media_service.scanning.scanner import Scanner

BATCH = 100


async def scan_again(database: Database, scanner: Scanner | None) -> Batches:
    """Keeps jobs running as long as something is due."""
    if scanner is not None:
        yield await start_rescans(database, scanner)


async def follow_policy(database: Database, scan_policy: ScanPolicy) -> Batches:
    """Releases what only an earlier policy has held, and holds what it has not. If scans are off,
    ends the wait for them.

    Only when a worker starts: one that still has the earlier policy must not release what servers
    with the present one hold.
    """
    served, held = (
        [state for state in ScanState if not scan_policy.leaves(Scan(state, held=was_held))]
        for was_held in (True, False)
    )
    while True:
        async with database.transaction() as tx:
            found = await queries.misjudged(tx, served, held, BATCH)
            for media_id, version in sorted(found):
                media = await versions.lock(tx, media_id, version)
                if media is None or scan_policy.leaves(media.scan):
                    continue
                scan = media.scan
                if scan.state is ScanState.PENDING and not scan_policy.enabled:
                    scan = NOT_SCANNED
                    await changing.withdraw(tx, JobKind.SCAN, media_id)
                await record(tx, media, replace(scan, held=scan_policy.holds(scan.state)))
        yield len(found)
        if len(found) < BATCH:
            return


TASKS = (
    PeriodicTask("virus scans of stored media", MINUTE, scan_again),
    PeriodicTask("media judged again by the policy of virus scans", None, follow_policy),
)
