"""The jobs that lead a new media to READY: its virus scan and its inspection."""

from media_service.access.owner import Owner
from media_service.db.new_job import NewJob
from media_service.jobs.model import JobKind
from media_service.media.model import Media, NewMedia, ScanState


def intake_jobs(media: Media | NewMedia, actor: Owner | None = None) -> list[NewJob]:
    """The jobs of a media that has not been inspected. If it is held, it is inspected only after
    its scan, whose job starts the inspection. `actor`: the caller who caused it; None: the service
    itself."""
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
        )
        for kind in kinds
    ]
