"""The job that scans an original for viruses."""

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta

from media_service.clock import now
from media_service.db.database import Database
from media_service.db.transaction import Transaction
from media_service.errors import Fault, Reason, Unavailable
from media_service.failpoints import failpoint
from media_service.jobs.handler import JobHandler
from media_service.jobs.model import Claim, JobKind, JobState
from media_service.jobs.progress import Progress
from media_service.jobs.queries import claimed_jobs
from media_service.media.model import Media, MediaState, Scan, ScanState
from media_service.media.versions import queries as versions
from media_service.scanning import queries
from media_service.scanning.policy import ScanPolicy
from media_service.scanning.rescans import start_rescans
from media_service.scanning.results import record
from media_service.scanning.scanner import Scanner
from media_service.storage.blob_store import BlobStore

log = logging.getLogger(__name__)

PIECE_BYTES = 256 << 10
# If scans fail open: the attempt at which a file is served because the engine cannot be used. With
# the delays of attempts, that takes half a minute, in which an engine can be restarted.
OPEN_AT_OUTAGE = 2
RESULTS = {ScanState.CLEAN, ScanState.INFECTED, ScanState.TOO_LARGE}


class ScanHandler(JobHandler):
    """Runs SCAN jobs. The subject of a job is a media id. Jobs without an owner scan again what was
    scanned before. A worker without a scanner skips these jobs (`WorkerResources.skipped`)."""

    kind = JobKind.SCAN
    time_limit = timedelta(hours=1)

    def __init__(
        self,
        database: Database,
        stores: Mapping[str, BlobStore],
        scanner: Scanner,
        scan_policy: ScanPolicy,
    ) -> None:
        self._database = database
        self._stores = stores
        self._scanner = scanner
        self._policy = scan_policy

    async def run(self, claim: Claim, progress: Progress) -> None:
        media = await self._begin(claim)
        if media is None:
            return
        scan = await self._scan(claim, media, progress)
        failpoint("scan.finish.before")
        async with self._database.transaction() as tx:
            scanned = await versions.lock(tx, claim.subject_id, media.version)
            if not await claimed_jobs.finish(tx, claim, JobState.SUCCEEDED):
                return
            await self._record(tx, scanned, scan)
        failpoint("scan.finish.after")
        if scan.state is ScanState.INFECTED and scan.threat != media.scan.threat:
            log.warning("the original of media %s is infected: %s", media.media_id, scan.threat)
        if claim.owner is None:
            await start_rescans(self._database, self._scanner)

    async def give_up(self, claim: Claim, fault: Fault) -> None:
        async with self._database.transaction() as tx:
            media = await versions.lock(tx, claim.subject_id, claim.version)
            if not await claimed_jobs.finish(tx, claim, JobState.FAILED, fault):
                return
            if media is not None and media.scan.state not in RESULTS:
                failed = Scan(ScanState.FAILED, reason=fault.reason, time=now())
                await self._record(tx, media, failed)

    async def _begin(self, claim: Claim) -> Media | None:
        """Returns the media to scan. If the media was purged, or is in quarantine for another
        reason, whose end starts a new job, ends the job and returns None."""
        async with self._database.transaction() as tx:
            media = await versions.lock(tx, claim.subject_id, claim.version)
            if not await claimed_jobs.hold(tx, claim):
                return None
            if media is not None and not damaged(media):
                return media
            await claimed_jobs.finish(tx, claim, JobState.SUCCEEDED)
        return None

    async def _scan(self, claim: Claim, media: Media, progress: Progress) -> Scan:
        try:
            # If the signatures change meanwhile, it is scanned again.
            async with self._database.connection() as db:
                engine = await queries.engine_of(db, self._scanner.version)
            async with aclosing(self._content(media, progress)) as content:
                found = await self._scanner.scan(content)
        except Unavailable as error:
            fails_open = self._policy.fail_open and claim.outages >= OPEN_AT_OUTAGE
            if error.reason is Reason.SCAN_UNAVAILABLE and media.scan.held and fails_open:
                return Scan(ScanState.FAILED, reason=error.reason, time=now())
            raise
        return Scan(found.state, threat=found.threat, engine=engine, time=now())

    async def _content(self, media: Media, progress: Progress) -> AsyncGenerator[bytes, None]:
        blob, sent = media.blob, 0
        pieces = self._stores[blob.store].read(blob.key, 0, blob.size_bytes, PIECE_BYTES)
        async with aclosing(pieces):
            async for piece in pieces:
                sent += len(piece)
                progress.report("scan", 99 * sent / blob.size_bytes)
                yield piece

    async def _record(self, tx: Transaction, media: Media | None, scan: Scan) -> None:
        if media is None:
            return
        scan = replace(scan, held=self._policy.holds_after(media.scan, scan.state))
        await record(tx, media, scan)


def damaged(media: Media) -> bool:
    """Whether the media is in quarantine because of its bytes."""
    reason = media.fault.reason if media.fault else ""
    return media.state is MediaState.QUARANTINED and reason not in queries.QUARANTINE_REASONS
