"""The caller of a request, and decisions about what was loaded for the caller."""

from dataclasses import dataclass

import pytest

from media_service.access.owner import Owner
from media_service.access.policy import (
    Guard,
    authorize,
    combine,
    current_guard,
    scope,
)
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.errors import NotFound, PermissionDenied, Reason

MISSING = NotFound(Reason.MEDIA_NOT_FOUND, "There is no such media.")
ADA = Principal("ada")


@dataclass(frozen=True)
class Thing:
    role: Role = Role.NONE
    owner: Owner = Owner("user", "ada")
    project_id: str = ""


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
    assert Principal("ada", "acme").owner == Owner("user", "ada", "acme")


@pytest.mark.parametrize("found", [None, Thing()])
def test_a_resource_without_a_role_looks_missing(found: Thing | None) -> None:
    for minimum in (None, Role.VIEWER, Role.OWNER):
        with pytest.raises(NotFound) as caught:
            authorize(found, MISSING, minimum)
        assert caught.value is MISSING


@pytest.mark.parametrize("minimum", list(Role)[1:])
@pytest.mark.parametrize("role", list(Role)[1:])
def test_the_role_that_the_method_requires_suffices(role: Role, minimum: Role) -> None:
    token = current_guard.set(Guard(minimum))
    thing = Thing(role)
    if role >= minimum:
        assert authorize(thing, MISSING) is thing
    else:
        with pytest.raises(PermissionDenied) as caught:
            authorize(thing, MISSING)
        assert caught.value.reason is Reason.ROLE_REQUIRED
        assert caught.value.metadata == {"role": minimum.name}
    assert authorize(thing, MISSING, Role.VIEWER) is thing, "not the resource of the method"
    current_guard.reset(token)


def refuse() -> None:
    with pytest.raises(NotFound):
        authorize(None, MISSING)


def test_the_guard_records_every_decision() -> None:
    for decide in (
        lambda: scope(ADA),
        lambda: authorize(Thing(Role.VIEWER), MISSING),
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
    assert other.grantee == "user:https://other.example|ada" != ADA.grantee
    assert scope(other).params != scope(ADA).params


@pytest.mark.parametrize(
    ("other", "combined"),
    [
        (Thing(), True),
        (Thing(project_id="p"), True),
        (Thing(owner=Owner("user", "eve")), False),
        (Thing(owner=Owner("user", "eve"), project_id="p"), True),
        (Thing(owner=Owner("user", "eve"), project_id="q"), False),
        (Thing(owner=Owner("user", "ada", "acme"), project_id="p"), False),
        (None, False),
    ],
)
def test_only_media_of_one_owner_or_project_are_combined(
    other: Thing | None, combined: bool
) -> None:
    base = Thing(project_id="p")
    if combined:
        assert combine(base, other, MISSING) is other
    else:
        with pytest.raises(NotFound):
            combine(base, other, MISSING)


def test_media_in_no_project_are_not_in_the_same_project() -> None:
    with pytest.raises(NotFound):
        combine(Thing(), Thing(owner=Owner("user", "eve")), MISSING)
