"""What follows from a new media: its event, and the jobs that lead it to READY."""

from media_service.access.owner import Owner
from media_service.db.event_types import EventType
from media_service.db.new_event import Event
from media_service.db.new_job import NewJob
from media_service.jobs.model import JobKind
from media_service.media.model import Media, MediaState, NewMedia, ScanState


def created_event(media: NewMedia) -> Event:
    return Event(
        type=EventType.MEDIA_CREATED,
        media_id=media.media_id,
        owner=media.owner,
        project_id=media.project_id,
        first=True,
        data={
            "contentType": media.content_type,
            "kind": media.kind,
            "sizeBytes": media.blob.size_bytes,
            "state": MediaState.PENDING,
            "version": 1,
            "visibility": media.attributes.visibility,
        },
    )


def intake_jobs(
    media: Media | NewMedia, actor: Owner | None = None, version: int = 0
) -> list[NewJob]:
    """The jobs of a media, or of a version that is not current, that has not been inspected. If it
    is held, it is inspected only after its scan, whose job starts the inspection. `actor`: the
    caller who caused it; None: the service itself."""
    kinds = []
    if media.scan.state is ScanState.PENDING:
        kinds.append(JobKind.SCAN)
    if not media.scan.held:
        kinds.append(JobKind.INGEST)
    return [
        NewJob(
            kind,
            media.media_id,
            media.owner,
            project_id=media.project_id,
            actor=actor,
            version=version,
        )
        for kind in kinds
    ]
