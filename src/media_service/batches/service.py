"""Changes many media in one transaction."""

from collections.abc import Sequence
from datetime import timedelta

from media_service.access.policy import authorize, decided
from media_service.access.principal import Principal
from media_service.batches import queries
from media_service.batches.actions import Action, Delete
from media_service.batches.model import BatchOutcome, Change, Outcome, Selection
from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.db.notifications import MediaChanged
from media_service.db.transaction import Connection, Transaction
from media_service.errors import FailedPrecondition, MediaError, Reason
from media_service.jobs.model import JobKind
from media_service.media import queries as media_queries
from media_service.media.model import Media
from media_service.media.reader import not_found
from media_service.media.selection import select

MAX_MEDIA = 1000


class BatchService:
    """Reads and changes many media at once. `purge_after`: how long deleted media can be
    undeleted."""

    def __init__(self, database: Database, purge_after: timedelta) -> None:
        self._database = database
        self._purge_after = purge_after

    def deletion(self) -> Action:
        return Delete(self._purge_after)

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
        action: Action,
        *,
        atomic: bool,
        validate_only: bool,
    ) -> BatchOutcome:
        """Changes the selected media on which the caller has the role of the action. If `atomic`,
        raises the first error, and changes nothing. Raises InvalidArgument (INVALID_FILTER),
        FailedPrecondition (BATCH_TOO_LARGE)."""
        decided()
        async with self._database.transaction() as tx:
            media_ids = await self._selected(tx, principal, selection, action)
            if not validate_only:
                await queries.lock(tx, media_ids)
            changes = await decide(tx, principal, media_ids, action)
            if atomic:
                raise_first(media_ids, changes)
            real = [each for each in changes if isinstance(each, Change) and each.real]
            refused: dict[str, MediaError] = {}
            if real and not validate_only:
                refused = await make(tx, action, real, atomic=atomic)
        outcomes = [
            outcome(media_id, refused.get(media_id, change), validate_only)
            for media_id, change in zip(media_ids, changes, strict=True)
        ]
        return BatchOutcome(outcomes, len(real) - len(refused))

    async def _selected(
        self, db: Connection, principal: Principal, selection: Selection, action: Action
    ) -> Sequence[str]:
        if selection.media_ids:
            return selection.media_ids
        may, where = await select(db, principal, selection.filter_text, action.role)
        found = await queries.select(db, may, where, MAX_MEDIA + 1)
        if len(found) > MAX_MEDIA:
            raise FailedPrecondition(
                Reason.BATCH_TOO_LARGE,
                f"The filter selects more than {MAX_MEDIA} media. Narrow it.",
                max_media=MAX_MEDIA,
            )
        return found


def raise_first(media_ids: Sequence[str], changes: Sequence[Change | MediaError]) -> None:
    """Raises the first error, which names its media."""
    for media_id, change in zip(media_ids, changes, strict=True):
        if isinstance(change, MediaError):
            change.message = f"Media {media_id}: {change.message}"
            raise change


def allowed(media: Media | None, media_id: str) -> Media | MediaError:
    try:
        return authorize(media, not_found(media_id))
    except MediaError as error:
        return error


async def decide(
    tx: Transaction, principal: Principal, media_ids: Sequence[str], action: Action
) -> list[Change | MediaError]:
    """What becomes of each media."""
    asked = [(media_id, principal) for media_id in media_ids]
    found = await media_queries.get_asked(tx, asked, bare=True)
    change = await action.prepare(tx, principal, [media for media in found if media])
    decisions: list[Change | MediaError] = []
    for media_id, media in zip(media_ids, found, strict=True):
        try:
            before = authorize(media, not_found(media_id), action.role)
            decisions.append(Change(before, change(before)))
        except MediaError as error:
            decisions.append(error)
    return decisions


async def make(
    tx: Transaction, action: Action, changes: Sequence[Change], *, atomic: bool
) -> dict[str, MediaError]:
    """Makes changes, and records each in the audit log. Returns those that a quota refused, or if
    `atomic`, raises the error."""
    refused: dict[str, MediaError] = {}
    try:
        async with tx.savepoint():
            await action.make(tx, changes)
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
    moved = [c.after for c in changes if c.before.rendition_store != c.after.rendition_store]
    await tx.enqueue(*(NewJob(JobKind.PUBLISH, media.media_id) for media in moved))
    for change in changes:
        after = change.after
        tx.audit(
            action.audited_as(change),
            media_id=after.media_id,
            org_id=after.owner.org_id,
            project_id=after.project_id,
            details=details,
        )
        tx.notify(MediaChanged(after.media_id))
    return refused


def outcome(media_id: str, change: Change | MediaError, validate_only: bool) -> Outcome:
    if isinstance(change, MediaError):
        return Outcome(media_id, change)
    made = change.made() if change.real and not validate_only else change.before
    return Outcome(media_id, made.etag)
