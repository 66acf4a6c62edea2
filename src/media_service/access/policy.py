"""The policy of access: the only code that decides what a caller may do.

`authorize` decides about one thing that was loaded, `scope` about the rows of a list. Both follow
the predicate in `queries.py`, which is part of the statement that loads the rows. So nothing is
cached, and a revoked grant has no effect on any later statement.

The RPC layer opens a `Guard` around every non-public call and fails the call if nothing was decided
in it: a forgotten check is an error, not a leak. The gate has checked before that the caller's
token covers the permission.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from media_service.access.owner import Owner
from media_service.access.principal import Principal
from media_service.access.queries import NOTHING, Named, Scope, scope_of
from media_service.access.role import Role
from media_service.errors import MediaError, PermissionDenied, Reason


class Protected(Protocol):
    @property
    def role(self) -> Role:
        """The caller's role on it, as loaded. NONE if it was loaded for nobody."""


class Contained(Protocol):
    @property
    def owner(self) -> Owner: ...

    @property
    def project_id(self) -> str: ...


T = TypeVar("T", bound=Protected)
C = TypeVar("C", bound=Contained)


@dataclass(frozen=True, slots=True)
class Condition:
    """A part of a WHERE clause, with `%s` for each of `params`."""

    sql: str
    params: tuple[Any, ...]


@dataclass
class Guard:
    """Remembers whether access was decided during one call. `minimum_role`: the role that the rule
    of the method requires on its resource."""

    minimum_role: Role = Role.NONE
    decided: bool = False


current_guard: ContextVar[Guard | None] = ContextVar("current_guard", default=None)


def decided() -> None:
    if guard := current_guard.get():
        guard.decided = True


def authorize(thing: T | None, missing: MediaError, minimum: Role | None = None) -> T:
    """Returns the thing if the caller has the role that the method requires, or `minimum` if the
    thing is not the resource of the method.

    Raises `missing` if there is no such thing or the caller has no role on it: callers cannot tell
    one from the other. Raises PermissionDenied (ROLE_REQUIRED) if the role is too low.
    """
    decided()
    if thing is None or thing.role is Role.NONE:
        raise missing
    if minimum is None:
        guard = current_guard.get()
        minimum = guard.minimum_role if guard else Role.VIEWER
    if thing.role < minimum:
        raise role_required(minimum)
    return thing


def role_required(role: Role) -> PermissionDenied:
    return PermissionDenied(
        Reason.ROLE_REQUIRED,
        f"This requires the role {role.name} or a higher one. Ask a manager of the resource for"
        " it.",
        role=role.name,
    )


def scope(principal: Principal, minimum: Role = Role.VIEWER, named: Named = NOTHING) -> Scope:
    """The things on which the caller has the role `minimum` or a higher one, for lists. Collections
    share media for VIEWER: a list that names some has what these share, too."""
    decided()
    return scope_of(principal, minimum, named)


def owned_by(owner: Owner, alias: str) -> Condition:
    """The rows of the table `alias` that belong to an owner."""
    columns = ", ".join(f"{alias}.{name}" for name in ("org_id", "owner_type", "owner_id"))
    return Condition(f"({columns}) = (%s, %s, %s)", (owner.org_id, owner.type, owner.id))


def combine(base: Contained, other: C | None, missing: MediaError) -> C:
    """The other media, if it may become part of a rendition of `base`. Readers of the rendition see
    both, so both must be in the same project, or have the same owner. Raises `missing` if not, or
    if there is none."""
    if other is None or base.owner.org_id != other.owner.org_id:
        raise missing
    same_project = base.project_id and base.project_id == other.project_id
    if base.owner != other.owner and not same_project:
        raise missing
    return other
