"""Who calls, and what their token lets them do."""

import pytest

from media_service.access.owner import Owner
from media_service.access.principal import Principal
from media_service.access.require import Guard, current_guard, own, require
from media_service.errors import NotFound, Reason

MISSING = NotFound(Reason.MEDIA_NOT_FOUND, "There is no such media.")
ADA = Principal("ada")


@pytest.mark.parametrize(
    ("scope", "permission", "holds"),
    [
        (None, "media.read", True),
        ("", "media.read", False),
        ("media.read", "media.read", True),
        ("media.read", "media.write", False),
        ("upload.write media.read", "media.read", True),
        ("media.*", "media.purge", True),
        ("media.*", "upload.write", False),
        ("*", "upload.write", True),
        ("media", "media.read", False),
        ("media.read.all", "media.read", False),
        ("MEDIA.READ", "media.read", False),
        ("*.read", "media.read", False),
        ("med.*", "media.read", False),
    ],
)
def test_a_scope_covers_permissions(scope: str | None, permission: str, holds: bool) -> None:
    scopes = None if scope is None else frozenset(scope.split())
    assert Principal("ada", scopes=scopes).holds(permission) is holds


def test_a_caller_owns_as_a_user_of_their_organisation() -> None:
    assert Principal("ada", "acme").owner == own(Principal("ada", "acme"))
    assert Principal("ada", "acme").owner == Owner("user", "ada", "acme")


@pytest.mark.parametrize(
    "owner",
    [
        None,
        Owner("user", "eve"),
        Owner("user", "ada", "acme"),
        Owner("event", "ada"),
        Owner("user", "Ada"),
        Owner("user", ""),
    ],
)
def test_what_is_anothers_looks_like_what_is_not_there(owner: Owner | None) -> None:
    with pytest.raises(NotFound) as caught:
        require(ADA, owner, MISSING)
    assert caught.value is MISSING


def test_what_is_ones_own_may_be_touched() -> None:
    require(ADA, Owner("user", "ada"), MISSING)


def refuse() -> None:
    with pytest.raises(NotFound):
        require(ADA, None, MISSING)


def test_the_guard_remembers_every_decision() -> None:
    for decide in (
        lambda: own(ADA),
        lambda: require(ADA, ADA.owner, MISSING),
        refuse,
    ):
        guard = Guard()
        token = current_guard.set(guard)
        assert not guard.decided
        decide()
        current_guard.reset(token)
        assert guard.decided
