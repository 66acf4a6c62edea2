"""Decides about the media of a batch, and makes the changes that pass, in one transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from media_service.access.policy import authorize
from media_service.access.principal import Principal
from media_service.batches.actions import Action
from media_service.batches.model import Change, M, Outcome
from media_service.batches.queries import media as queries
from media_service.db.new_job import NewJob
from media_service.db.notifications import MediaChanged
from media_service.db.transaction import Transaction
from media_service.errors import FailedPrecondition, MediaError, Reason
from media_service.jobs.model import JobKind
from media_service.media.model import Media, etag_of
from media_service.media.reader import not_found


@dataclass(frozen=True, slots=True)
class Changed:
    """`outcomes`: one for each media, in order. `count`: how many media have changed."""

    outcomes: Sequence[Outcome]
    count: int


async def change(
    tx: Transaction,
    principal: Principal,
    media_ids: Sequence[str],
    action: Action[Any],
    *,
    atomic: bool = False,
    validate_only: bool = False,
) -> Changed:
    """Changes those media on which the caller has the role of the action. If `atomic`, raises the
    first error."""
    if not validate_only:
        await queries.lock(tx, media_ids)
    decisions: list[Change[Any] | MediaError] = []
    for start in range(0, len(media_ids), action.together):
        some = media_ids[start : start + action.together]
        decisions += await decide(tx, principal, some, action)
    if atomic:
        raise_first(media_ids, decisions)
    real = [each for each in decisions if isinstance(each, Change) and each.real]
    refused: dict[str, MediaError] = {}
    if real and not validate_only:
        refused = await make(tx, action, real, atomic=atomic)
    outcomes = [
        outcome(media_id, refused.get(media_id, decision), validate_only)
        for media_id, decision in zip(media_ids, decisions, strict=True)
    ]
    return Changed(outcomes, len(real) - len(refused))


def raise_first(media_ids: Sequence[str], decisions: Iterable[Change[Any] | MediaError]) -> None:
    """Raises the first error, which names its media."""
    for media_id, decision in zip(media_ids, decisions, strict=True):
        if isinstance(decision, MediaError):
            decision.message = f"Media {media_id}: {decision.message}"
            raise decision


def allowed(media: Media | None, media_id: str) -> Media | MediaError:
    try:
        return authorize(media, not_found(media_id))
    except MediaError as error:
        return error


async def decide(
    tx: Transaction, principal: Principal, media_ids: Sequence[str], action: Action[M]
) -> list[Change[M] | MediaError]:
    """What becomes of each media."""
    found = await action.load(tx, principal, media_ids)
    change = await action.prepare(tx, principal, [media for media in found if media])
    decisions: list[Change[Any] | MediaError] = []
    for media_id, media in zip(media_ids, found, strict=True):
        try:
            decisions.append(change(authorize(media, not_found(media_id), action.role)))
        except MediaError as error:
            decisions.append(error)
    return decisions


async def make(
    tx: Transaction, action: Action[M], changes: Sequence[Change[M]], *, atomic: bool
) -> dict[str, MediaError]:
    """Makes changes, and records each in the audit log. Returns those that a quota refused, or if
    `atomic`, raises the error."""
    refused: dict[str, MediaError] = {}
    try:
        async with tx.savepoint():
            numbered = await action.make(tx, changes)
    except FailedPrecondition as error:
        if atomic or error.reason is not Reason.QUOTA_EXCEEDED:
            raise
        if len(changes) == 1:
            return {changes[0].before.media_id: error}
        # Halves are tried until it is known which of them fit.
        half = len(changes) // 2
        for part in (changes[:half], changes[half:]):
            refused |= await make(tx, action, part, atomic=False)
        return refused
    details = await action.details(tx)
    moved = [each.before.media_id for each in changes if action.moves_renditions(each)]
    await tx.enqueue(*(NewJob(JobKind.PUBLISH, media_id) for media_id in moved))
    for change in changes:
        media_id = change.before.media_id
        tx.audit(
            action.audited_as(change),
            media_id=media_id,
            org_id=change.owner.org_id,
            project_id=change.project_id,
            resource_id=change.job.job_id if change.job else "",
            details=details,
            numbered=numbered.get(media_id),
        )
        if change.values:
            tx.notify(MediaChanged(media_id))
    return refused


def outcome(media_id: str, decision: Change[Any] | MediaError, validate_only: bool) -> Outcome:
    if isinstance(decision, MediaError):
        return Outcome(media_id, decision)
    if validate_only:
        return Outcome(media_id, etag_of(decision.before.revision))
    return Outcome(media_id, decision.etag, decision.job.job_id if decision.job else "")
