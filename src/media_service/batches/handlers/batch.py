"""The job that changes all media that match a filter."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic

from media_service.access.lists import after_sql
from media_service.access.policy import Condition
from media_service.access.principal import Principal
from media_service.batches.changing import change
from media_service.batches.model import StoredBatch
from media_service.batches.queries import jobs as batch_jobs
from media_service.batches.queries import media as queries
from media_service.batches.stored import from_json
from media_service.credentials import queries as credentials
from media_service.credentials.model import SERVICE_ACCOUNT
from media_service.credentials.verifier import invalid
from media_service.db.audit_entry import AuditedCall, Origin, current_call
from media_service.db.database import Database
from media_service.db.transaction import Connection, Rollback, Transaction
from media_service.errors import Fault, MediaError
from media_service.failpoints import failpoint
from media_service.jobs.handler import JobHandler
from media_service.jobs.model import Claim, JobKind, JobState
from media_service.jobs.progress import Progress
from media_service.jobs.queries import claimed_jobs

# How many media one transaction changes: few enough that nobody waits for their locks for long.
AT_ONCE = 200
# The errors that a batch keeps. All are counted.
MAX_ERRORS = 100


@dataclass(frozen=True, slots=True)
class Step:
    """How far a batch is after a step. `ended`: so is its job."""

    percent: float
    ended: bool


class BatchHandler(JobHandler):
    """Runs BATCH jobs. Each step changes the next media and moves the place of the batch in one
    transaction, so that no media is changed twice, whichever worker dies when. `purge_after`: how
    long deleted media can be undeleted."""

    kind = JobKind.BATCH

    def __init__(self, database: Database, purge_after: timedelta) -> None:
        self._database = database
        self._purge_after = purge_after

    async def run(self, claim: Claim, progress: Progress) -> None:
        while True:
            began = monotonic()
            step = Step(0, ended=True)
            async with self._database.transaction() as tx:
                step = await self._step(tx, claim)
                failpoint("batch.step.before")
            failpoint("batch.step.after")
            if step.ended:
                return
            progress.report("batch", step.percent)
            # Half of the time is left to others.
            await asyncio.sleep(monotonic() - began)

    async def give_up(self, claim: Claim, fault: Fault) -> None:
        async with self._database.connection() as db:
            await claimed_jobs.finish(db, claim, JobState.FAILED, fault)

    async def _step(self, tx: Transaction, claim: Claim) -> Step:
        batch = await batch_jobs.get(tx, claim.job_id)
        if batch is None:  # a person in it was erased
            await end(tx, claim, JobState.CANCELLED)
            return Step(0, ended=True)
        await check(tx, batch.principal)
        action = from_json(batch.action, self._purge_after)
        current_call.set(call_of(batch.principal, action.audit))
        found, where = await queries.matching(tx, batch.principal, batch.filter_text, action.role)
        media_ids = await queries.select(tx, found, [*where, older(batch)], AT_ONCE)
        if media_ids:
            changed = await change(tx, batch.principal, media_ids, action)
            failed = [each for each in changed.outcomes if isinstance(each.result, MediaError)]
            errors = failed[: MAX_ERRORS - batch.errors]
            await batch_jobs.advance(
                tx, claim.job_id, changed.outcomes, changed=changed.count, errors=errors
            )
        if len(media_ids) < AT_ONCE:
            await end(tx, claim, JobState.SUCCEEDED)
            return Step(100, ended=True)
        if not await claimed_jobs.hold(tx, claim):
            raise Rollback
        processed = batch.processed + len(media_ids)
        return Step(100 * processed / max(batch.selected, processed), ended=False)


async def end(tx: Transaction, claim: Claim, state: JobState) -> None:
    if not await claimed_jobs.finish(tx, claim, state):
        raise Rollback


async def check(db: Connection, principal: Principal) -> None:
    """Raises Unauthenticated (TOKEN_INVALID) if the caller is a service account that was deleted
    since, or its key has ended."""
    if principal.type == SERVICE_ACCOUNT:
        caller = (principal.subject, principal.api_key_id or None)
        if not await credentials.usable(db, [caller]):
            raise invalid()


def older(batch: StoredBatch) -> Condition:
    """The condition for the media that the batch has not reached."""
    return after_sql("m", queries.NEWEST, batch.reached)


def call_of(principal: Principal, action: str) -> AuditedCall:
    """What the audit log says of the changes: that the caller made them."""
    caller = principal.owner
    origin = Origin(caller.type, caller.id, caller.org_id, principal.api_key_id)
    return AuditedCall(action, lambda _: origin, caller)
