"""Starts the jobs that render renditions on request."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from media_service.access.policy import authorize, decided
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.codecs.pipeline.pipeline import Pipeline
from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.db.transaction import Connection, Transaction
from media_service.errors import Aborted, MediaError, Reason
from media_service.failpoints import failpoint
from media_service.idempotency import queries as keys
from media_service.idempotency.model import KeyClaim, RequestKey
from media_service.ids import new_id
from media_service.jobs.model import Job, Priority
from media_service.jobs.queries import reading
from media_service.jobs.service import not_found as job_not_found
from media_service.media import queries as media_queries
from media_service.media.model import STREAM, Media
from media_service.media.reader import not_found
from media_service.quotas import queries as quotas
from media_service.quotas.model import Charged
from media_service.renditions.foreign_kind import kind_of_job
from media_service.renditions.pipeline_inputs import overlay_of, route_of
from media_service.renditions.rendition_store import check_rendition_limit

# The number of requests of a batch that are checked together, with their media in memory.
CHECKED_TOGETHER = 100


@dataclass(frozen=True, slots=True)
class RenditionRequest:
    """A rendition that a caller requests. If `name` is empty, it is derived from the pipeline.
    `job_id` is the id of the new job, if no earlier call used the key."""

    media_id: str
    pipeline: Pipeline
    name: str
    priority: Priority
    key: RequestKey | None
    job_id: str = field(default_factory=new_id)

    @property
    def rendition(self) -> str:
        if self.pipeline.makes_stream:
            return STREAM
        return self.name or f"p-{self.pipeline.digest.hex()[:16]}"

    @property
    def claim(self) -> KeyClaim | None:
        return KeyClaim(self.key, self.job_id) if self.key else None


class ProcessingService:
    """Checks requests for renditions and starts their jobs. `foreign`: see `kind_of_job`."""

    def __init__(self, database: Database, foreign: Collection[str] = ()) -> None:
        self._database = database
        self._foreign = foreign

    async def start(
        self, principal: Principal, requests: Sequence[RenditionRequest], *, atomic: bool = True
    ) -> list[Job | MediaError]:
        """Starts jobs and claims their keys in one transaction.

        Returns one result for each request, in the same order: the job, or the error that refused
        the request. If a key was used before, the result is the job of the earlier call. If
        `atomic`, the first error is raised and no job starts.

        The errors are NotFound (MEDIA_NOT_FOUND), FailedPrecondition (MEDIA_DELETED,
        MEDIA_QUARANTINED, OPERATION_NOT_APPLICABLE, RENDITION_LIMIT_EXCEEDED, QUOTA_EXCEEDED), and
        Aborted
        (IDEMPOTENCY_CONFLICT, IDEMPOTENCY_IN_PROGRESS).
        """
        decided()  # each request is refused alone
        async with self._database.transaction() as tx:
            claimed = await claim_keys(tx, requests)
            new = [request for request in requests if claimed[request.job_id] == request.job_id]
            checked = await check(tx, principal, new, self._foreign)
            checked |= await refused_by_quotas(tx, checked)
            started = [job for job in checked.values() if isinstance(job, NewJob)]
            await tx.enqueue(*started)
            for job in started:
                tx.audit(media_id=job.subject_id, resource_id=job.job_id)
            refused = [each for each in new if isinstance(checked[each.job_id], MediaError)]
            await keys.forget(tx, [each.claim for each in refused if each.claim])
            job_ids = [claimed[request.job_id] for request in requests]
            known = [each for each in job_ids if isinstance(each, str)]
            jobs = await reading.get_asked(tx, [(job_id, principal) for job_id in known])
            found = dict(zip(known, jobs, strict=True))
            results = [result(job_id, checked, found) for job_id in job_ids]
            if atomic:
                for refusal in results:
                    if isinstance(refusal, MediaError):
                        raise refusal
            failpoint("job.start.before")
        failpoint("job.start.after")
        return results


async def claim_keys(
    tx: Transaction, requests: Sequence[RenditionRequest]
) -> Mapping[str, str | Aborted]:
    """Claims the keys of requests. Maps the job id of each request to that id if the request is
    new, to the id of the earlier job if its key was used before, or to the error if the key cannot
    be used."""
    claimed: dict[str, str | Aborted] = {request.job_id: request.job_id for request in requests}
    claims = [request.claim for request in requests if request.claim]
    # Claim keys in a fixed order, so that two batches with the same keys never deadlock.
    for claim in sorted(claims, key=lambda claim: claim.key.key_id):
        try:
            claimed[claim.resource_id], _ = await keys.claim(tx, claim)
        except Aborted as error:
            if error.reason is Reason.IDEMPOTENCY_IN_PROGRESS:
                raise  # the transaction has failed
            claimed[claim.resource_id] = error
    return claimed


async def check(
    db: Connection,
    principal: Principal,
    requests: Sequence[RenditionRequest],
    foreign: Collection[str],
) -> dict[str, NewJob | MediaError]:
    """Returns the job of each request, or the error that refuses it, by job id."""
    checked: dict[str, NewJob | MediaError] = {}
    for start in range(0, len(requests), CHECKED_TOGETHER):
        group = requests[start : start + CHECKED_TOGETHER]
        wanted = {request.media_id for request in group}
        wanted.update(overlay for request in group for overlay in request.pipeline.overlays)
        asked = [(media_id, principal) for media_id in wanted]
        media = dict(zip(wanted, await media_queries.get_asked(db, asked), strict=True))
        for request in group:
            try:
                checked[request.job_id] = job_of(principal, request, media, foreign)
            except MediaError as error:
                checked[request.job_id] = error
            await asyncio.sleep(0)  # let other calls run
    return checked


async def refused_by_quotas(
    db: Connection, checked: Mapping[str, NewJob | MediaError]
) -> Mapping[str, MediaError]:
    """The errors of those jobs for which a quota has nothing left, by job id. Whether the others
    fit is known once they have run."""
    jobs = [job for job in checked.values() if isinstance(job, NewJob) and not job.done]
    charged = [Charged(job.owner, job.project_id) for job in jobs if job.owner]
    errors = await quotas.exhausted(db, charged)
    return {job.job_id: error for job, error in zip(jobs, errors, strict=True) if error}


def job_of(
    principal: Principal,
    request: RenditionRequest,
    found: Mapping[str, Media | None],
    foreign: Collection[str],
) -> NewJob:
    """Returns the job for a request. Raises the errors of `ProcessingService.start`."""
    media = authorize(found[request.media_id], not_found(request.media_id))
    route = route_of(media, request.pipeline)
    check_rendition_limit(media, request.rendition)
    for overlay_id in request.pipeline.overlays:
        seen = authorize(found[overlay_id], not_found(overlay_id), Role.VIEWER)
        overlay_of(media, seen, overlay_id)
    return NewJob(
        kind_of_job(request.pipeline, foreign),
        media.media_id,
        media.owner,
        request.priority,
        pipeline=request.pipeline.text,
        rendition=request.rendition,
        done=media.rendered(request.rendition, request.pipeline.text) is not None,
        heavy=route.is_heavy(media.info),
        project_id=media.project_id,
        actor=principal.owner,
        charged=principal.charged,
        job_id=request.job_id,
    )


def result(
    claimed: str | Aborted,
    checked: Mapping[str, NewJob | MediaError],
    found: Mapping[str, Job | None],
) -> Job | MediaError:
    if isinstance(claimed, Aborted):
        return claimed
    if isinstance(refusal := checked.get(claimed), MediaError):
        return refusal
    try:
        return authorize(found[claimed], job_not_found(claimed))
    except MediaError as error:  # the job of an earlier call is gone
        return error
