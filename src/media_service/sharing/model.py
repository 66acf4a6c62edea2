"""Organizations, projects, groups and grants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from media_service.access.owner import Owner
from media_service.access.role import Role


@dataclass(frozen=True, slots=True)
class Organization:
    """A tenant. `issuer`: whose tokens may claim membership; empty: the service's own issuer.
    `role`: of the caller, NONE for a member without an inherited role."""

    organization_id: str
    display_name: str
    issuer: str
    create_time: datetime
    update_time: datetime
    role: Role


@dataclass(frozen=True, slots=True)
class Project:
    """A container of media. `owner`: who is charged for it. `role`: of the caller. `policies`: the
    settings of those that apply in it, if it was loaded alone; that of the organization first."""

    project_id: str
    owner: Owner
    display_name: str
    create_time: datetime
    update_time: datetime
    role: Role
    policies: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Users of one organization. `role`: the role of the caller on the organization."""

    group_id: str
    organization_id: str
    display_name: str
    create_time: datetime
    update_time: datetime
    role: Role


@dataclass(frozen=True, slots=True)
class GroupMember:
    """`member`: as a grantee, such as "user:ann"."""

    member: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Grant:
    """A role of `grantee` on `resource`, see `access_grants`. `created_by`: a grantee."""

    resource: str
    grantee: str
    role: Role
    expire_time: datetime | None = None
    create_time: datetime | None = None
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class Located:
    """A resource: its organization, which is empty if it has none, and the caller's role on it.
    `policies`: of an owner, as of a project."""

    org_id: str
    role: Role
    policies: Sequence[Mapping[str, Any]] = ()
