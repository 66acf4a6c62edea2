"""The one place that decides whether this caller may touch this thing.

Services call it where the row is loaded. The RPC layer opens a `Guard` around every non-public call
and fails the call if nothing was decided in it: a forgotten check is an error, not a leak.
"""

from contextvars import ContextVar
from dataclasses import dataclass

from media_service.access.owner import Owner
from media_service.access.principal import Principal
from media_service.errors import NotFound


@dataclass
class Guard:
    """Remembers whether access was decided during one call."""

    decided: bool = False


current_guard: ContextVar[Guard | None] = ContextVar("current_guard", default=None)


def decided() -> None:
    if guard := current_guard.get():
        guard.decided = True


def require(principal: Principal, owner: Owner | None, missing: NotFound) -> None:
    """Raises `missing` unless the caller may touch what `owner` owns; None: it does not exist.

    What a caller may not see does not exist for them, so both cases look alike.
    """
    decided()
    if owner is None or owner != principal.owner:
        raise missing


def own(principal: Principal) -> Owner:
    """Who owns what the caller creates, and whose things the caller lists."""
    decided()
    return principal.owner
