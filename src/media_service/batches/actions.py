"""What batches do with media.

An action first reads what it needs for all media together, and then decides about each of them
without the database. The changes that it accepts are made in a few statements.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, ClassVar, TypeAlias

from media_service.access.owner import Owner
from media_service.access.policy import authorize
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.batches import queries
from media_service.batches.model import Change
from media_service.clock import now
from media_service.db.transaction import Transaction
from media_service.errors import InvalidArgument, MediaError, Reason
from media_service.media.model import Media, Visibility
from media_service.media.policy import Policies
from media_service.media.reader import not_found
from media_service.media.service import check_move, gone, policies_of
from media_service.sharing.creation import check_owner, check_project
from media_service.sharing.errors import outlasts
from media_service.sharing.recording import owner_in_log

MAX_TAGS = 100

# Returns the change of a media, or raises the error that refuses it.
Decide: TypeAlias = Callable[[Media], Change]


class Action(ABC):
    """`role`: that the caller needs on each media. `audit`: the action of its method in the audit
    log. `together`: how many media are decided about in one go. `reads_renditions`: whether it
    needs their renditions for that."""

    role: ClassVar[Role]
    audit: ClassVar[str]
    together: ClassVar[int] = 1000
    reads_renditions: ClassVar[bool] = False

    @abstractmethod
    async def prepare(
        self, tx: Transaction, principal: Principal, media: Sequence[Media]
    ) -> Decide: ...

    @abstractmethod
    async def make(self, tx: Transaction, changes: Sequence[Change]) -> None:
        """Makes changes of locked media. Raises FailedPrecondition (QUOTA_EXCEEDED)."""

    def audited_as(self, change: Change) -> str:
        """The action in the audit log; empty: that of the call."""
        return ""

    async def details(self, tx: Transaction) -> Mapping[str, str] | None:
        """What the audit log says of each change."""
        return None


def live(media: Media) -> Media:
    """Raises FailedPrecondition (MEDIA_DELETED)."""
    if media.delete_time is not None:
        raise gone(media.media_id)
    return media


@dataclass(frozen=True)
class Tag(Action):
    """Adds tags, and removes others."""

    add: Sequence[str] = ()
    remove: Sequence[str] = ()

    role = Role.EDITOR
    audit = "media.update"

    async def prepare(
        self, tx: Transaction, principal: Principal, media: Sequence[Media]
    ) -> Decide:
        removed = set(self.remove)

        def decide(media: Media) -> Change:
            kept = [tag for tag in live(media).tags if tag not in removed]
            tags = tuple(dict.fromkeys([*kept, *self.add]))
            if len(tags) > MAX_TAGS:
                why = f"the media {media.media_id} would have more than {MAX_TAGS} tags"
                raise InvalidArgument(
                    Reason.INVALID_FIELD, f"Too many tags: {why}.", (("add_tags", why),)
                )
            return Change(media, replace(media, tags=tags))

        return decide

    async def make(self, tx: Transaction, changes: Sequence[Change]) -> None:
        await queries.set_tags(tx, {each.before.media_id: each.after.tags for each in changes})


@dataclass(frozen=True)
class Update(Action):
    """Sets fields of `CHANGEABLE`. To let anyone read more is to share, which requires MANAGER."""

    values: Mapping[str, Any]

    role = Role.EDITOR
    audit = "media.update"

    async def prepare(
        self, tx: Transaction, principal: Principal, media: Sequence[Media]
    ) -> Decide:
        visibility: Visibility | None = self.values.get("visibility")
        governed = visibility or "metadata" in self.values
        places = {(each.owner.org_id, each.project_id) for each in media} if governed else set()
        policies = {place: await policies_of(tx, *place) for place in places}

        def decide(media: Media) -> Change:
            live(media)
            if visibility and visibility.exceeds(media.visibility):
                authorize(media, not_found(media.media_id), Role.MANAGER)
                policies[media.owner.org_id, media.project_id].check_visibility(visibility)
            changed = replace(media, **self.values)
            if changed.metadata != media.metadata:
                policies[media.owner.org_id, media.project_id].check_metadata(changed.metadata)
            return Change(media, changed)

        return decide

    async def make(self, tx: Transaction, changes: Sequence[Change]) -> None:
        await queries.set_fields(tx, [each.before.media_id for each in changes], self.values)

    def audited_as(self, change: Change) -> str:
        published = change.after.visibility.exceeds(change.before.visibility)
        return "media.publish" if published else ""


@dataclass(frozen=True)
class Delete(Action):
    """Soft-deletes media."""

    purge_after: timedelta

    role = Role.MANAGER
    audit = "media.delete"

    async def prepare(
        self, tx: Transaction, principal: Principal, media: Sequence[Media]
    ) -> Decide:
        # What the database records is the time of the transaction. This one is only compared.
        time = now()

        def decide(media: Media) -> Change:
            return Change(media, media if media.delete_time else replace(media, delete_time=time))

        return decide

    async def make(self, tx: Transaction, changes: Sequence[Change]) -> None:
        media_ids = [each.before.media_id for each in changes]
        await queries.set_deleted(tx, media_ids, self.purge_after)
        await queries.stop_jobs_of_deleted(tx, media_ids)


@dataclass(frozen=True)
class Move(Action):
    """Gives media to another owner or project. None: the one that each of them has."""

    owner: Owner | None
    project_id: str | None

    role = Role.OWNER
    audit = "media.transfer"

    async def prepare(
        self, tx: Transaction, principal: Principal, media: Sequence[Media]
    ) -> Decide:
        lasting = await queries.lasting_owner(tx, principal, [each.media_id for each in media])
        places = {
            (each.owner.org_id, self._project(each)): await self._place(tx, principal, each)
            for each in {(m.owner.org_id, self._project(m)): m for m in media}.values()
        }

        def decide(media: Media) -> Change:
            if media.media_id not in lasting:
                raise outlasts(Role.OWNER)
            project = self._project(media)
            place = places[media.owner.org_id, project]
            if isinstance(place, MediaError):
                raise place
            check_move(media, project, place)
            moved = replace(media, owner=self.owner or media.owner, project_id=project)
            return Change(media, moved)

        return decide

    def _project(self, media: Media) -> str:
        return media.project_id if self.project_id is None else self.project_id

    async def _place(
        self, tx: Transaction, principal: Principal, media: Media
    ) -> Policies | MediaError:
        """The policies of where a media and others of its organization go, or why they cannot."""
        org_id = media.owner.org_id
        try:
            if self.owner is not None:
                await check_owner(tx, principal, self.owner, org_id)
            if self.project_id:
                await check_project(tx, principal, self.project_id, org_id)
        except MediaError as error:
            return error
        return await policies_of(tx, org_id, self._project(media))

    async def make(self, tx: Transaction, changes: Sequence[Change]) -> None:
        media_ids = [each.before.media_id for each in changes]
        await queries.move(tx, media_ids, self.owner, self.project_id)

    async def details(self, tx: Transaction) -> Mapping[str, str] | None:
        return {"owner": await owner_in_log(tx, self.owner)} if self.owner else None
