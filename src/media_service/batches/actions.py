"""What batches do with media.

An action first reads what it needs for all media together, and then decides about each of them
without the database. The changes that it accepts are made in a few statements.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, ClassVar, Generic, TypeAlias

from media_service.access.owner import Owner
from media_service.access.policy import authorize
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.batches.model import Change, M, Tagged
from media_service.batches.queries import media as queries
from media_service.clock import now
from media_service.db.new_event import Numbered
from media_service.db.transaction import Transaction
from media_service.errors import InvalidArgument, MediaError, Reason
from media_service.media import queries as media_queries
from media_service.media.model import Media, Visibility
from media_service.media.policy import Policies
from media_service.media.reader import not_found
from media_service.media.service import check_move, gone, policies_of
from media_service.sharing.creation import check_owner, check_project
from media_service.sharing.errors import outlasts
from media_service.sharing.recording import owner_in_log

MAX_TAGS = 100

# Returns the change of a media, or raises the error that refuses it.
Decide: TypeAlias = Callable[[M], Change[M]]


class Action(ABC, Generic[M]):
    """`role`: that the caller needs on each media. `audit`: the action of its method in the audit
    log. `together`: how many media are decided about in one go."""

    role: ClassVar[Role]
    audit: ClassVar[str]
    together: ClassVar[int] = 1000

    @abstractmethod
    async def load(
        self, tx: Transaction, principal: Principal, media_ids: Sequence[str]
    ) -> Sequence[M | None]:
        """Those media that exist, with the caller's role on them."""

    @abstractmethod
    async def prepare(
        self, tx: Transaction, principal: Principal, media: Sequence[M]
    ) -> Decide[M]: ...

    @abstractmethod
    async def make(self, tx: Transaction, changes: Sequence[Change[M]]) -> Mapping[str, Numbered]:
        """Makes changes of locked media. Returns the numbers of their events, by media, if they
        have any. Raises FailedPrecondition (QUOTA_EXCEEDED)."""

    def audited_as(self, change: Change[M]) -> str:
        """The action in the audit log; empty: that of the call."""
        return ""

    def moves_renditions(self, change: Change[M]) -> bool:
        """Whether the renditions of the media belong in the other store then."""
        return False

    async def details(self, tx: Transaction) -> Mapping[str, str] | None:
        """What the audit log says of each change."""
        return None


class ActionOnMedia(Action[Media]):
    """An action that needs the whole media, without their renditions."""

    async def load(
        self, tx: Transaction, principal: Principal, media_ids: Sequence[str]
    ) -> Sequence[Media | None]:
        asked = [(media_id, principal) for media_id in media_ids]
        return await media_queries.get_asked(tx, asked, bare=True)

    def moves_renditions(self, change: Change[Media]) -> bool:
        before = change.before
        return before.rendition_store != replace(before, **change.values).rendition_store


@dataclass(frozen=True)
class Tag(Action[Tagged]):
    """Adds tags, and removes others."""

    add: Sequence[str] = ()
    remove: Sequence[str] = ()

    role = Role.EDITOR
    audit = "media.update"

    async def load(
        self, tx: Transaction, principal: Principal, media_ids: Sequence[str]
    ) -> Sequence[Tagged | None]:
        return await queries.tagged(tx, principal, media_ids, self.role)

    async def prepare(
        self, tx: Transaction, principal: Principal, media: Sequence[Tagged]
    ) -> Decide[Tagged]:
        removed = set(self.remove)

        def decide(media: Tagged) -> Change[Tagged]:
            if media.deleted:
                raise gone(media.media_id)
            kept = [tag for tag in media.tags if tag not in removed]
            tags = list(dict.fromkeys([*kept, *self.add]))
            if len(tags) > MAX_TAGS:
                why = f"the media {media.media_id} would have more than {MAX_TAGS} tags"
                raise InvalidArgument(
                    Reason.INVALID_FIELD, f"Too many tags: {why}.", (("add_tags", why),)
                )
            return Change.of(media, {"tags": tags})

        return decide

    async def make(
        self, tx: Transaction, changes: Sequence[Change[Tagged]]
    ) -> Mapping[str, Numbered]:
        return await queries.set_tags(
            tx, {each.before.media_id: each.values["tags"] for each in changes}
        )


@dataclass(frozen=True)
class Update(ActionOnMedia):
    """Sets fields of `CHANGEABLE`. To let anyone read more is to share, which requires MANAGER."""

    values: Mapping[str, Any]

    role = Role.EDITOR
    audit = "media.update"

    async def prepare(
        self, tx: Transaction, principal: Principal, media: Sequence[Media]
    ) -> Decide[Media]:
        visibility: Visibility | None = self.values.get("visibility")
        governed = visibility or "metadata" in self.values
        places = {(each.owner.org_id, each.project_id) for each in media} if governed else set()
        policies = {place: await policies_of(tx, *place) for place in places}

        def decide(media: Media) -> Change[Media]:
            if media.delete_time is not None:
                raise gone(media.media_id)
            if visibility and visibility.exceeds(media.visibility):
                authorize(media, not_found(media.media_id), Role.MANAGER)
                policies[media.owner.org_id, media.project_id].check_visibility(visibility)
            change = Change.of(media, self.values)
            if "metadata" in change.values:
                place = policies[media.owner.org_id, media.project_id]
                place.check_metadata(change.values["metadata"])
            return change

        return decide

    async def make(
        self, tx: Transaction, changes: Sequence[Change[Media]]
    ) -> Mapping[str, Numbered]:
        media_ids = [each.before.media_id for each in changes]
        return await queries.set_fields(tx, media_ids, self.values)

    def audited_as(self, change: Change[Media]) -> str:
        visibility = change.values.get("visibility", Visibility.PRIVATE)
        return "media.publish" if visibility.exceeds(change.before.visibility) else ""


@dataclass(frozen=True)
class Delete(ActionOnMedia):
    """Soft-deletes media."""

    purge_after: timedelta

    role = Role.MANAGER
    audit = "media.delete"

    async def prepare(
        self, tx: Transaction, principal: Principal, media: Sequence[Media]
    ) -> Decide[Media]:
        # What the database records is the time of the transaction. This one is only compared.
        time = now()

        def decide(media: Media) -> Change[Media]:
            return Change(media, {} if media.delete_time else {"delete_time": time})

        return decide

    async def make(
        self, tx: Transaction, changes: Sequence[Change[Media]]
    ) -> Mapping[str, Numbered]:
        media_ids = [each.before.media_id for each in changes]
        numbered = await queries.set_deleted(tx, media_ids, self.purge_after)
        await queries.stop_jobs_of_deleted(tx, media_ids)
        return numbered


@dataclass(frozen=True)
class Move(ActionOnMedia):
    """Gives media to another owner or project. None: the one that each of them has."""

    owner: Owner | None
    project_id: str | None

    role = Role.OWNER
    audit = "media.transfer"

    async def prepare(
        self, tx: Transaction, principal: Principal, media: Sequence[Media]
    ) -> Decide[Media]:
        lasting = await queries.lasting_owner(tx, principal, [each.media_id for each in media])
        places = {
            (each.owner.org_id, self._project(each)): await self._place(tx, principal, each)
            for each in {(m.owner.org_id, self._project(m)): m for m in media}.values()
        }

        def decide(media: Media) -> Change[Media]:
            if media.media_id not in lasting:
                raise outlasts(Role.OWNER)
            project = self._project(media)
            place = places[media.owner.org_id, project]
            if isinstance(place, MediaError):
                raise place
            check_move(media, project, place)
            owner = self.owner or media.owner
            return Change.of(media, {"owner": owner, "project_id": project})

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

    async def make(
        self, tx: Transaction, changes: Sequence[Change[Media]]
    ) -> Mapping[str, Numbered]:
        media_ids = [each.before.media_id for each in changes]
        return await queries.move(tx, media_ids, self.owner, self.project_id)

    async def details(self, tx: Transaction) -> Mapping[str, str] | None:
        return {"owner": await owner_in_log(tx, self.owner)} if self.owner else None
