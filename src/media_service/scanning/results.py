"""What the result of a scan changes."""

from dataclasses import replace

from media_service.db.event_types import EventType
from media_service.db.new_event import Event
from media_service.db.notifications import MediaChanged
from media_service.db.transaction import Transaction
from media_service.errors import FailedPrecondition, Fault, MediaError, Reason
from media_service.jobs.model import JobKind
from media_service.jobs.queries import changing, reading
from media_service.media import queries as media_queries
from media_service.media.intake import intake_jobs
from media_service.media.model import Media, MediaState, Scan, ScanState
from media_service.media.service import UNINSPECTED, record_change
from media_service.media.versions import queries as versions
from media_service.media.versions.adding import tell_failure
from media_service.scanning import queries


async def record(tx: Transaction, media: Media, scan: Scan) -> None:
    """Records the scan of the version that a media shows, which is locked. It is served, held or
    quarantined, as `scan.held` says. What happens to a version that is not current changes nothing
    about the one that is."""
    await queries.set_scan(tx, media.media_id, media.version, scan)
    if replace(scan, engine=media.scan.engine, time=media.scan.time) == media.scan:
        return  # the same result again
    tx.emit(
        Event(
            type=EventType.SCAN_COMPLETED,
            media_id=media.media_id,
            data={
                "scanState": scan.state,
                "reason": scan.reason,
                "ofVersion": media.version,
            },
        )
    )
    if scan.state is ScanState.INFECTED and not scan.held:
        tx.audit(
            "media.scan",
            media_id=media.media_id,
            version=media.version,
            outcome=Reason.THREAT_FOUND,
        )
    if scan.state in {ScanState.INFECTED, ScanState.TOO_LARGE} and scan.held:
        await quarantine(tx, media, scan)
    elif scan.held:
        await hold(tx, media, scan)
    elif media.scan.held:
        await release(tx, media)
    await media_queries.touch(tx, media.media_id)
    if not media.current:
        tx.notify(MediaChanged(media.media_id))
        return
    after = await media_queries.get(tx, media.media_id)
    if after is not None:
        await record_change(tx, media, after)


async def quarantine(tx: Transaction, media: Media, scan: Scan) -> None:
    found = fault_of(scan)
    await queries.quarantine(tx, media, found)
    tx.audit(
        "media.quarantine", media_id=media.media_id, version=media.version, outcome=found.reason
    )
    tell_failure(tx, media, found)
    if not media.current:
        await changing.withdraw_of_version(tx, JobKind.INGEST, media.media_id, media.version)
        return
    why = "The media is in quarantine."
    fault = Fault(Reason.MEDIA_QUARANTINED, why, {"media_id": media.media_id})
    await changing.stop_all(tx, media.media_id, fault)


async def hold(tx: Transaction, media: Media, scan: Scan) -> None:
    """Lets the media wait for another scan."""
    if scan.state is ScanState.FAILED and media.state in UNINSPECTED:
        fault = Fault(scan.reason, "The original cannot be scanned for viruses.")
        await versions.set_state(tx, media, MediaState.FAILED, fault)
        tell_failure(tx, media, fault)


async def release(tx: Transaction, media: Media) -> None:
    """Ends a quarantine or a hold, and starts what has waited for it."""
    media_id = media.media_id
    if await queries.end_quarantine(tx, media):
        tx.audit("media.release", media_id=media_id, version=media.version)
    if not media.current:
        if media.info is None and media.delete_time is None:
            released = await versions.get(tx, media_id, media.version)
            assert released  # noqa: S101 - it is locked
            await versions.set_state(tx, released, MediaState.PENDING)
            jobs = intake_jobs(released, version=released.version)
            await tx.enqueue(*(job for job in jobs if job.kind == JobKind.INGEST))
        return
    resumed = await changing.resume_all(tx, media_id, Reason.MEDIA_QUARANTINED)
    for kind in JobKind:
        if kind.renders:
            await changing.hasten(tx, kind, media_id)
    released = await media_queries.get(tx, media_id)
    if released is None or released.info is not None or released.delete_time is not None:
        return  # undeleting a media starts its jobs
    if JobKind.INGEST in resumed or await reading.unfinished(tx, JobKind.INGEST, media_id):
        return
    await tx.enqueue(*(job for job in intake_jobs(released) if job.kind == JobKind.INGEST))


def fault_of(scan: Scan) -> Fault:
    """The `error` of a media that is quarantined because of this scan."""
    error: MediaError
    if scan.state is ScanState.INFECTED:
        why = f"The virus scanner found {scan.threat} in the original."
        error = FailedPrecondition(Reason.THREAT_FOUND, why, threat=scan.threat)
    else:
        why = "The original is larger or more nested than the virus scanner can scan."
        error = FailedPrecondition(Reason.TOO_LARGE_TO_SCAN, why)
    return Fault(error.reason, error.message, error.metadata)
