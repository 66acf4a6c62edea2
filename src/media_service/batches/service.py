"""Changes many media: in one transaction, or of more, as a job."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from media_service.access.policy import decided
from media_service.access.principal import Principal
from media_service.batches.actions import Action, Delete
from media_service.batches.changing import allowed, change
from media_service.batches.model import BatchOutcome, Selection
from media_service.batches.queries import jobs as batch_jobs
from media_service.batches.queries import media as queries
from media_service.batches.rendering import Process
from media_service.codecs.pipeline.pipeline import Pipeline
from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.db.transaction import Transaction
from media_service.errors import FailedPrecondition, MediaError, Reason
from media_service.ids import new_id
from media_service.jobs.model import Job, JobKind, Priority
from media_service.jobs.queries import reading
from media_service.media import queries as media_queries
from media_service.media.model import Media

MAX_MEDIA = 1000


class BatchService:
    """Reads and changes many media at once. `purge_after`: how long deleted media can be
    undeleted. `foreign`: see `kind_of_job`."""

    def __init__(
        self, database: Database, purge_after: timedelta, foreign: Collection[str] = ()
    ) -> None:
        self._database = database
        self._purge_after = purge_after
        self._foreign = foreign

    def deletion(self) -> Action[Any]:
        return Delete(self._purge_after)

    def rendering(self, pipeline: Pipeline, name: str, priority: Priority) -> Action[Any]:
        return Process(pipeline, name, priority, self._foreign)

    async def get(self, principal: Principal, media_ids: Sequence[str]) -> list[Media | MediaError]:
        """Each media, or NotFound (MEDIA_NOT_FOUND)."""
        decided()
        async with self._database.connection() as db:
            asked = [(media_id, principal) for media_id in media_ids]
            found = await media_queries.get_asked(db, asked)
        return [allowed(media, id_) for media, id_ in zip(found, media_ids, strict=True)]

    async def run(
        self,
        principal: Principal,
        selection: Selection,
        action: Action[Any],
        *,
        atomic: bool,
        validate_only: bool,
    ) -> BatchOutcome:
        """Changes the selected media on which the caller has the role of the action. If they are
        more than `MAX_MEDIA`, starts a job that does it. If `atomic`, raises the first error, and
        changes nothing. Raises InvalidArgument (INVALID_FILTER), FailedPrecondition
        (BATCH_TOO_LARGE)."""
        decided()
        async with self._database.transaction() as tx:
            media_ids = selection.media_ids
            if not media_ids:
                found, where = await queries.matching(
                    tx, principal, selection.filter_text, action.role
                )
                media_ids = await queries.select(tx, found, where, MAX_MEDIA + 1)
                if len(media_ids) > MAX_MEDIA:
                    if atomic:
                        raise too_large()
                    total = (await media_queries.count(tx, found, where)).number
                    job = None
                    if not validate_only:
                        job = await start(tx, principal, selection.filter_text, action, total)
                    return BatchOutcome((), 0, total, job)
            changed = await change(
                tx, principal, media_ids, action, atomic=atomic, validate_only=validate_only
            )
        return BatchOutcome(changed.outcomes, changed.count, len(media_ids))


async def start(
    tx: Transaction, principal: Principal, filter_text: str, action: Action[Any], selected: int
) -> Job | None:
    """Starts the job of a batch, which belongs to the caller."""
    job_id = new_id()
    job = NewJob(
        JobKind.BATCH,
        job_id,
        principal.owner,
        actor=principal.owner,
        charged=principal.charged,
        job_id=job_id,
    )
    await tx.enqueue(job)
    await batch_jobs.insert(tx, job_id, principal, filter_text, action, selected)
    tx.audit(resource_id=job_id)
    (started,) = await reading.get_asked(tx, [(job_id, principal)])
    return started


def too_large() -> FailedPrecondition:
    return FailedPrecondition(
        Reason.BATCH_TOO_LARGE,
        f"The filter selects more than {MAX_MEDIA} media, which cannot be changed atomically."
        " Narrow it, or leave out `atomic`.",
        max_media=MAX_MEDIA,
    )
