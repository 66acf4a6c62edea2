"""The caller of a request and its permissions."""

from dataclasses import dataclass

import pytest

from media_service.access.owner import Owner
from media_service.access.permission import Permission
from media_service.access.policy import (
    Guard,
    authorize,
    combine,
    creator,
    current_guard,
    scope,
)
from media_service.access.principal import Principal
from media_service.errors import NotFound, Reason

READ = Permission.MEDIA_READ
MISSING = NotFound(Reason.MEDIA_NOT_FOUND, "There is no such media.")
ADA = Principal("ada")


@dataclass(frozen=True)
class Thing:
    owner: Owner


def thing(owner: Owner | None) -> Thing | None:
    return None if owner is None else Thing(owner)


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


def test_a_caller_owns_media_as_a_user_of_an_organization() -> None:
    ada = Principal("ada", "acme")
    assert ada.owner == creator(ada, Permission.UPLOADS_WRITE)
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
        Owner("user", "https://other.example|ada"),
    ],
)
def test_a_resource_of_another_owner_looks_missing(owner: Owner | None) -> None:
    with pytest.raises(NotFound) as caught:
        authorize(ADA, READ, thing(owner), MISSING)
    assert caught.value is MISSING


def test_the_owner_has_access() -> None:
    mine = Thing(Owner("user", "ada"))
    assert authorize(ADA, READ, mine, MISSING) is mine


def refuse() -> None:
    with pytest.raises(NotFound):
        authorize(ADA, READ, None, MISSING)


def test_the_guard_records_every_decision() -> None:
    for decide in (
        lambda: creator(ADA, Permission.UPLOADS_WRITE),
        lambda: scope(ADA, READ, "m"),
        lambda: authorize(ADA, READ, Thing(ADA.owner), MISSING),
        refuse,
    ):
        guard = Guard()
        token = current_guard.set(guard)
        assert not guard.decided
        decide()
        current_guard.reset(token)
        assert guard.decided


def test_an_equal_subject_of_another_issuer_is_another_user() -> None:
    other = Principal("ada", issuer="https://other.example")
    with pytest.raises(NotFound):
        authorize(other, READ, Thing(ADA.owner), MISSING)
    with pytest.raises(NotFound):
        authorize(ADA, READ, Thing(other.owner), MISSING)
    assert scope(other, READ, "m").params != scope(ADA, READ, "m").params


def test_only_resources_of_one_owner_can_be_combined() -> None:
    mine, eves = Thing(ADA.owner), Thing(Owner("user", "eve"))
    assert combine(mine, mine, MISSING) is mine
    for other in (eves, None):
        with pytest.raises(NotFound):
            combine(mine, other, MISSING)
