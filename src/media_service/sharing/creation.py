"""Decides who may create what, for whom and where."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from media_service.access.owner import Owner
from media_service.access.policy import authorize, decided, role_required
from media_service.access.principal import LINK, Principal
from media_service.access.role import Role
from media_service.db.database import Database
from media_service.db.transaction import Connection
from media_service.errors import MediaError
from media_service.sharing import queries
from media_service.sharing.errors import outlasts, owner_not_allowed, project_not_found
from media_service.sharing.model import Located, Project
from media_service.sharing.resources import Resource


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a caller wants to create something. `owner` None: the caller. `project_id` empty: in no
    project. `published`: anyone can read it."""

    owner: Owner | None = None
    project_id: str = ""
    published: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """Who owns what is created in a destination, and the settings of the policies that apply there,
    that of the organization first."""

    owner: Owner
    policies: Sequence[Mapping[str, Any]] = ()


class Creation:
    """Finds the owners of new resources, and the policies that apply to them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def place(self, principal: Principal, destination: Destination) -> Placement:
        """Returns where the caller creates something.

        Raises NotFound (PROJECT_NOT_FOUND), PermissionDenied (ROLE_REQUIRED, OWNER_NOT_ALLOWED).
        """
        found = (await self.placements(principal, [destination]))[destination]
        if isinstance(found, MediaError):
            raise found
        return found

    async def placements(
        self, principal: Principal, destinations: Iterable[Destination]
    ) -> dict[Destination, Placement | MediaError]:
        """Like `place`, for several destinations: the placement, or the error that refuses it."""
        decided()
        found: dict[Destination, Placement | MediaError] = {}
        others = []
        for destination in dict.fromkeys(destinations):
            # What a user without an organization creates is theirs, without a query.
            own = destination.owner in {None, principal.owner} and not destination.project_id
            if own and not principal.org_id and principal.type != LINK:
                found[destination] = Placement(principal.owner)
            else:
                others.append(destination)
        if others:
            async with self._database.connection() as db:
                for destination in others:
                    found[destination] = await placement_or_refusal(db, principal, destination)
        return found


async def placement_or_refusal(
    db: Connection, principal: Principal, destination: Destination
) -> Placement | MediaError:
    try:
        return await placement_in(db, principal, destination)
    except MediaError as error:
        return error


async def placement_in(db: Connection, principal: Principal, destination: Destination) -> Placement:
    """Raises the errors of `Creation.place`."""
    if principal.type == LINK:
        return await placement_for_guest(db, principal, destination)
    org_id, project = principal.org_id, None
    if destination.project_id:
        project = await load_project(db, principal, destination.project_id)
        org_id = project.owner.org_id
    owner = destination.owner or Owner(principal.type, principal.id, org_id)
    if project is None:
        org_id = owner.org_id
    found = await check_owner(db, principal, owner, org_id)
    if destination.published and found.role < Role.MANAGER:  # as for a media that exists
        raise role_required(Role.MANAGER)
    return Placement(owner, found.policies if project is None else project.policies)


async def placement_for_guest(
    db: Connection, guest: Principal, destination: Destination
) -> Placement:
    """What a guest uploads belongs to the owner of the project. Raises the errors of
    `Creation.place`."""
    project = await load_project(db, guest, destination.project_id)
    if destination.owner not in {None, project.owner}:
        raise owner_not_allowed()
    if destination.published:
        raise role_required(Role.MANAGER)
    return Placement(project.owner, project.policies)


async def check_owner(db: Connection, principal: Principal, owner: Owner, org_id: str) -> Located:
    """Checks that the caller may create something for an owner, in an organization. Returns the
    caller's role. Raises PermissionDenied (OWNER_NOT_ALLOWED)."""
    found = await queries.locate_owner(db, owner, principal)
    if found is None or found.role < Role.EDITOR or owner.org_id != org_id:
        raise owner_not_allowed()
    return found


async def check_lasting_owner(db: Connection, principal: Principal, resource: Resource) -> None:
    """Checks that the caller is OWNER of a resource without an end, as for a transfer, which has
    none. Raises PermissionDenied (ROLE_REQUIRED)."""
    if await queries.lasting_role(db, resource, principal, None) < Role.OWNER:
        raise outlasts(Role.OWNER)


async def check_project(db: Connection, principal: Principal, project_id: str, org_id: str) -> None:
    """Checks that the caller may put something of an organization into a project. Raises NotFound
    (PROJECT_NOT_FOUND), PermissionDenied (ROLE_REQUIRED)."""
    project = await load_project(db, principal, project_id)
    if project.owner.org_id != org_id:
        raise project_not_found(project_id)


async def load_project(db: Connection, principal: Principal, project_id: str) -> Project:
    """Returns a project in which the caller may create something."""
    found = await queries.project(db, project_id, principal)
    return authorize(found, project_not_found(project_id), Role.EDITOR)
