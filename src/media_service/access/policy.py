"""The policy of access: the only code that compares owners.

`authorize` decides about one thing that was loaded, `scope` about the rows of a list. The RPC layer
opens a `Guard` around every non-public call and fails the call if nothing was decided in it: a
forgotten check is an error, not a leak. The gate has checked before that the caller's token covers
the permission.

Today an owner holds every permission on what they own, and nobody else holds any.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from media_service.access.owner import Owner
from media_service.access.permission import Permission
from media_service.access.principal import Principal
from media_service.errors import MediaError, PermissionDenied, Reason


class Owned(Protocol):
    @property
    def owner(self) -> Owner: ...


T = TypeVar("T", bound=Owned)


@dataclass(frozen=True, slots=True)
class Condition:
    """A part of a WHERE clause, with `%s` for each of `params`."""

    sql: str
    params: tuple[Any, ...]


@dataclass
class Guard:
    """Remembers whether access was decided during one call."""

    decided: bool = False


current_guard: ContextVar[Guard | None] = ContextVar("current_guard", default=None)


def decided() -> None:
    if guard := current_guard.get():
        guard.decided = True


def authorize(
    principal: Principal, permission: Permission, thing: T | None, missing: MediaError
) -> T:
    """The resource, if the caller has the permission on it. Raises `missing` if the caller does not
    have it or there is no such resource: callers cannot tell one from the other."""
    decided()
    if thing is None or not permits(principal, permission, thing.owner):
        raise missing
    return thing


def permits(principal: Principal, permission: Permission, owner: Owner) -> bool:
    return owner == principal.owner


def scope(principal: Principal, permission: Permission, alias: str) -> Condition:
    """The rows of the table `alias` on which the caller has the permission."""
    decided()
    return owned_by(principal.owner, alias)


def owned_by(owner: Owner, alias: str) -> Condition:
    """The rows of the table `alias` that belong to an owner."""
    columns = ", ".join(f"{alias}.{name}" for name in ("org_id", "owner_type", "owner_id"))
    return Condition(f"({columns}) = (%s, %s, %s)", (owner.org_id, owner.type, owner.id))


def may_read_quarantined(principal: Principal) -> bool:
    """Whether the caller may read the originals of media that are in quarantine, in order to
    examine them: administrators, of whom there are none yet."""
    return False


def check_owner(creator: Owner, wanted: Owner | None) -> None:
    """Checks the owner that the caller names for a new resource, if any.

    Raises PermissionDenied (OWNER_NOT_ALLOWED).
    """
    if wanted not in {None, creator}:
        raise PermissionDenied(
            Reason.OWNER_NOT_ALLOWED,
            "The owner must be the caller. Leave owner unset, or set it to the caller.",
        )


def creator(principal: Principal, permission: Permission) -> Owner:
    """The owner of a resource that the caller creates."""
    decided()
    return principal.owner


def combine(base: Owned, other: T | None, missing: MediaError) -> T:
    """The other media, if it may become part of a rendition of `base`. Its readers see both, so
    both must have the same owner. Raises `missing` if not, or if there is none."""
    if other is None or other.owner != base.owner:
        raise missing
    return other
