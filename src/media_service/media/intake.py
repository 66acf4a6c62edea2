"""The jobs that lead a new media to READY: its virus scan and its inspection."""

from media_service.db.new_job import NewJob
from media_service.jobs.model import JobKind
from media_service.media.model import Media, NewMedia, ScanState


def intake_jobs(media: Media | NewMedia, actor_id: str = "") -> list[NewJob]:
    """The jobs of a media that has not been inspected. If it is held, it is inspected only after
    its scan, whose job starts the inspection. `actor_id`: of the user who caused it."""
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
            actor_id=actor_id,
        )
        for kind in kinds
    ]
