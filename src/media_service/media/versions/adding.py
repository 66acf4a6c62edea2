"""Adds versions to media: new content for the same id.

The version is current once it was inspected (`renditions/replacing.py`). Until then, and if it
fails, the media is served as before.
"""

from media_service.access.owner import Owner
from media_service.db.database import Database
from media_service.db.event_types import EventType
from media_service.db.new_event import Event
from media_service.db.notifications import MediaChanged
from media_service.db.transaction import Transaction
from media_service.errors import Fault, InvalidArgument, Reason
from media_service.failpoints import failpoint
from media_service.jobs.periodic import Batches
from media_service.media.intake import intake_jobs
from media_service.media.model import Kind, Media, NewMedia
from media_service.media.service import UNINSPECTED, check_etag, gone
from media_service.media.versions import queries

# The first bytes of a file do not tell these apart.
AV = {Kind.VIDEO, Kind.AUDIO}
BATCH = 100


def check_kind(media: Media, kind: Kind, *, inspected: bool = True) -> None:
    """Raises InvalidArgument (KIND_MISMATCH) if content of this kind cannot replace that of the
    media: what shows an image would get a video. A media that was never READY may get any kind."""
    if media.ready_time is None or media.kind is kind:
        return
    if not inspected and {media.kind, kind} == AV:
        return
    raise InvalidArgument(
        Reason.KIND_MISMATCH,
        f"The media is of the kind {media.kind}, and the file of the kind {kind}. A new version"
        " must be of the same kind.",
        media_id=media.media_id,
        kind=media.kind,
        new_kind=kind,
    )


def check_replaceable(media: Media, etag: str) -> None:
    """Raises FailedPrecondition (MEDIA_DELETED), and Aborted (ETAG_MISMATCH) if `etag` is set and
    is not that of the media. One that failed or is in quarantine can be replaced."""
    if media.delete_time is not None:
        raise gone(media.media_id)
    check_etag(media, etag)


async def add_version(
    tx: Transaction, new: NewMedia, actor: Owner | None, restored_from: int | None = None
) -> int:
    """Adds a version to a media, which is locked and not deleted, and starts its inspection.
    Returns its number."""
    version = await queries.add(tx, new, restored_from)
    await tx.enqueue(*intake_jobs(new, actor, version))
    tx.notify(MediaChanged(new.media_id))
    failpoint("version.add.inside")
    return version


def tell_failure(tx: Transaction, media: Media, fault: Fault) -> None:
    """Tells consumers that the version that a media shows cannot be used, unless it is current: the
    state of the media tells that."""
    if not media.current:
        tx.emit(
            Event(
                type=EventType.MEDIA_VERSION_FAILED,
                media_id=media.media_id,
                data={"ofVersion": media.version, "reason": fault.reason},
            )
        )


async def inspect_forgotten(database: Database) -> Batches:
    """Starts the inspections of new versions for which there is no job. Workers of the release
    before versions take such a job for one of the current version, and end it."""
    async with database.transaction() as tx:
        found = await queries.without_jobs(tx, BATCH)
        for media_id, version in found:
            media = await queries.lock(tx, media_id, version)
            if media is not None and media.state in UNINSPECTED and not media.current:
                await tx.enqueue(*intake_jobs(media, version=version))
    yield len(found)
