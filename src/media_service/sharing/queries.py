"""SQL of organizations, projects, groups and grants."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from media_service.access.owner import Owner
from media_service.access.principal import Principal
from media_service.access.queries import (
    CALLER,
    Scope,
    caller_params,
    media_keys,
    organization_key,
    organizations,
    owner_keys,
    project_keys,
    role,
    service_role,
    visible_project,
)
from media_service.access.role import Role
from media_service.db.transaction import Connection
from media_service.sharing.model import Grant, Group, GroupMember, Located, Organization, Project
from media_service.sharing.resources import Resource

# Roles on each kind of thing, with the alias that the statements below give it.
MEDIA_ROLE = role("m", media_keys("m", "media_id"))
PROJECT_ROLE = role("p", project_keys("p"), owned=False)
OWNER_ROLE = role("t", owner_keys("t"))
ORGANIZATION_ROLE = role("t", [organization_key("t")], owned=False)
ORGANIZATION = "(select o.*, o.organization_id as org_id from organizations o) t"
OWNER = "(select %s::text as org_id, %s::text as owner_type, %s::text as owner_id) t"
BELONGS = f"t.org_id in ({organizations('c')})"


# Roles


async def project(db: Connection, project_id: str, principal: Principal) -> Project | None:
    rows = await db.execute(
        f"select p.*, {PROJECT_ROLE} as role from {CALLER} cross join projects p"
        " where p.project_id = %s".encode(),
        (*caller_params(principal), project_id),
    )
    row = await rows.fetchone()
    return project_record(row) if row else None


async def lock_project(db: Connection, project_id: str, principal: Principal) -> Project | None:
    await db.execute("select from projects where project_id = %s for update", (project_id,))
    return await project(db, project_id, principal)


async def role_for_owner(db: Connection, owner: Owner, principal: Principal) -> Role:
    """The caller's role on what an owner owns."""
    rows = await db.execute(
        f"select {OWNER_ROLE} as role from {CALLER} cross join {OWNER}".encode(),
        (*caller_params(principal), owner.org_id, owner.type, owner.id),
    )
    row = await rows.fetchone()
    return Role(row["role"]) if row else Role.NONE


async def role_on_service(db: Connection, principal: Principal) -> Role:
    rows = await db.execute(
        f"select {service_role('c')} as role from {CALLER}".encode(), caller_params(principal)
    )
    row = await rows.fetchone()
    return Role(row["role"] or Role.NONE) if row else Role.NONE


async def locate(db: Connection, resource: Resource, principal: Principal) -> Located | None:
    """Returns None if there is no such resource."""
    match resource.kind:
        case "owner":
            owner = resource.owner
            return Located(owner.org_id, await role_for_owner(db, owner, principal))
        case "service":
            return Located("", await role_on_service(db, principal))
        case "media":
            query = (
                f"select m.org_id, {MEDIA_ROLE} as role from {CALLER} cross join media m"
                " where m.media_id = %s"
            )
        case "project":
            query = (
                f"select p.org_id, {PROJECT_ROLE} as role from {CALLER} cross join projects p"
                " where p.project_id = %s"
            )
        case _:
            query = (
                f"select t.org_id, {ORGANIZATION_ROLE} as role from {CALLER}"
                f" cross join {ORGANIZATION} where t.organization_id = %s"
            )
    rows = await db.execute(query.encode(), (*caller_params(principal), resource.id))
    row = await rows.fetchone()
    return Located(row["org_id"], Role(row["role"])) if row else None


# Organizations


def organization_record(row: Mapping[str, Any]) -> Organization:
    return Organization(
        row["organization_id"],
        row["display_name"],
        row["issuer"],
        row["create_time"],
        row["update_time"],
        Role(row["role"]),
    )


async def insert_organization(
    db: Connection, organization_id: str, display_name: str, issuer: str
) -> bool:
    """Returns False if there is one with this id."""
    done = await db.execute(
        "insert into organizations (organization_id, display_name, issuer) values (%s, %s, %s)"
        " on conflict do nothing",
        (organization_id, display_name, issuer),
    )
    return done.rowcount == 1


async def organization(
    db: Connection, organization_id: str, principal: Principal
) -> Organization | None:
    """An organization that the caller belongs to or has a role on."""
    found = await organization_page(db, principal, None, 1, organization_id)
    return found[0] if found else None


async def organization_page(
    db: Connection,
    principal: Principal,
    after: str | None,
    limit: int,
    organization_id: str | None = None,
) -> list[Organization]:
    """The organizations that the caller belongs to or has a role on, by id."""
    rows = await db.execute(
        f"""
        select * from (
            select t.*, {ORGANIZATION_ROLE} as role, {BELONGS} as belongs
            from {CALLER} cross join {ORGANIZATION}
        ) found
        where (belongs or role > 0) and organization_id > coalesce(%s, '')
          and organization_id = coalesce(%s, organization_id)
        order by organization_id limit %s
        """.encode(),
        (*caller_params(principal), after, organization_id, limit),
    )
    return [organization_record(row) async for row in rows]


# Projects


def project_record(row: Mapping[str, Any]) -> Project:
    return Project(
        row["project_id"],
        Owner(row["owner_type"], row["owner_id"], row["org_id"]),
        row["display_name"],
        row["create_time"],
        row["update_time"],
        Role(row["role"]),
    )


async def insert_project(db: Connection, project_id: str, owner: Owner, display_name: str) -> None:
    await db.execute(
        "insert into projects (project_id, org_id, owner_type, owner_id, display_name)"
        " values (%s, %s, %s, %s, %s)",
        (project_id, owner.org_id, owner.type, owner.id, display_name),
    )


async def rename_project(db: Connection, project_id: str, display_name: str) -> None:
    await db.execute(
        "update projects set display_name = %s, update_time = now() where project_id = %s",
        (display_name, project_id),
    )


async def set_project_owner(db: Connection, project_id: str, owner: Owner) -> None:
    await db.execute(
        "update projects set owner_type = %s, owner_id = %s, update_time = now()"
        " where project_id = %s",
        (owner.type, owner.id, project_id),
    )


async def delete_project(db: Connection, project_id: str) -> bool:
    """Deletes a project, its grants and its quota. Returns False if something is in it."""
    done = await db.execute(
        """
        delete from projects p
        where project_id = %s
          and not exists (select from media m where m.project_id = p.project_id)
          and not exists (
              select from uploads u
              where u.project_id = p.project_id and u.state in ('ACTIVE', 'VERIFYING')
          )
        """,
        (project_id,),
    )
    if done.rowcount == 0:
        return False
    name = f"project:{project_id}"
    await db.execute("delete from access_grants where resource = %s or grantee = %s", (name, name))
    await db.execute("delete from quotas where account = %s", (name,))
    return True


async def project_page(
    db: Connection,
    scope: Scope,
    organization_id: str | None,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[Project]:
    """Projects that the caller may see, newest first."""
    where, params = [visible_project("p")], list(scope.params)
    if organization_id is not None:
        where.append("p.org_id = %s")
        params.append(organization_id)
    if after is not None:
        where.append("(p.create_time, p.project_id) < (%s, %s)")
        params += after
    own_role = role("p", project_keys("p"), owned=False, caller="caller")
    rows = await db.execute(
        f"""
        with {scope.sql}
        select found.*, (
            select {own_role} from caller, projects p where p.project_id = found.project_id
        ) as role
        from (
            select * from projects p where {" and ".join(where)}
            order by p.create_time desc, p.project_id desc limit %s
        ) found
        order by create_time desc, project_id desc
        """.encode(),
        (*params, limit),
    )
    return [project_record(row) async for row in rows]


# Groups


def group_record(row: Mapping[str, Any]) -> Group:
    return Group(
        row["group_id"],
        row["org_id"],
        row["display_name"],
        row["create_time"],
        row["update_time"],
        Role(row["role"]),
    )


GROUP = f"""
    select t.*, {ORGANIZATION_ROLE} as role from {CALLER} cross join groups t
"""


async def insert_group(
    db: Connection, group_id: str, organization_id: str, display_name: str
) -> None:
    await db.execute(
        "insert into groups (group_id, org_id, display_name) values (%s, %s, %s)",
        (group_id, organization_id, display_name),
    )


async def group(db: Connection, group_id: str, principal: Principal) -> Group | None:
    """A group, with the caller's role on its organization."""
    rows = await db.execute(
        f"{GROUP} where t.group_id = %s".encode(), (*caller_params(principal), group_id)
    )
    row = await rows.fetchone()
    return group_record(row) if row else None


async def group_page(
    db: Connection,
    principal: Principal,
    organization_id: str,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[Group]:
    """The groups of an organization, newest first."""
    where = "t.org_id = %s"
    params: list[object] = [*caller_params(principal), organization_id]
    if after is not None:
        where += " and (t.create_time, t.group_id) < (%s, %s)"
        params += after
    rows = await db.execute(
        f"{GROUP} where {where} order by t.create_time desc, t.group_id desc limit %s".encode(),
        (*params, limit),
    )
    return [group_record(row) async for row in rows]


async def delete_group(db: Connection, group_id: str) -> None:
    """Removes a group with its members and its grants."""
    await db.execute("delete from access_grants where grantee = %s", (f"group:{group_id}",))
    await db.execute("delete from groups where group_id = %s", (group_id,))


async def add_member(db: Connection, group_id: str, member: str) -> None:
    await db.execute(
        "insert into group_members (group_id, member) values (%s, %s) on conflict do nothing",
        (group_id, member),
    )


async def remove_member(db: Connection, group_id: str, member: str) -> None:
    await db.execute(
        "delete from group_members where group_id = %s and member = %s", (group_id, member)
    )


async def member_page(db: Connection, group_id: str, after: str, limit: int) -> list[GroupMember]:
    """The members of a group, by name."""
    rows = await db.execute(
        "select member, create_time from group_members where group_id = %s and member > %s"
        " order by member limit %s",
        (group_id, after, limit),
    )
    return [GroupMember(row["member"], row["create_time"]) async for row in rows]


# Grants


def grant_record(row: Mapping[str, Any]) -> Grant:
    return Grant(
        row["resource"],
        row["grantee"],
        Role(row["role"]),
        row["expire_time"],
        row["create_time"],
        row["created_by"],
    )


async def grantee_organization(db: Connection, kind: str, grantee_id: str) -> str | None:
    """The organization of a group, a project or an organization; '' for a project without one. None
    if it does not exist."""
    query = {
        "group": "select org_id from groups where group_id = %s",
        "project": "select org_id from projects where project_id = %s",
        "organization": "select organization_id as org_id from organizations"
        " where organization_id = %s",
    }[kind]
    rows = await db.execute(query.encode(), (grantee_id,))
    row = await rows.fetchone()
    return row["org_id"] if row else None


async def grant(db: Connection, resource: str, grantee: str) -> Grant | None:
    """Returns a grant, and locks it."""
    rows = await db.execute(
        "select * from access_grants where resource = %s and grantee = %s for update",
        (resource, grantee),
    )
    row = await rows.fetchone()
    return grant_record(row) if row else None


async def highest_role(db: Connection, grantee: str) -> Role:
    """The highest role that a grantee has on any resource."""
    rows = await db.execute(
        "select max(role) as role from access_grants where grantee = %s", (grantee,)
    )
    row = await rows.fetchone()
    return Role(row["role"] or Role.NONE) if row else Role.NONE


async def put_grant(db: Connection, new: Grant) -> Grant:
    """Adds a grant, or replaces the one of the same grantee on the same resource."""
    rows = await db.execute(
        """
        insert into access_grants (resource, grantee, role, expire_time, created_by)
        values (%s, %s, %s, %s, %s)
        on conflict (resource, grantee) do update
        set role = excluded.role, expire_time = excluded.expire_time,
            create_time = now(), created_by = excluded.created_by
        returning *
        """,
        (new.resource, new.grantee, new.role, new.expire_time, new.created_by),
    )
    row = await rows.fetchone()
    assert row  # noqa: S101 - one row is always returned
    return grant_record(row)


async def delete_grant(db: Connection, resource: str, grantee: str) -> None:
    await db.execute(
        "delete from access_grants where resource = %s and grantee = %s", (resource, grantee)
    )


async def grant_page(db: Connection, resource: str, after: str, limit: int) -> list[Grant]:
    """The grants on a resource, by grantee."""
    rows = await db.execute(
        "select * from access_grants where resource = %s and grantee > %s"
        " and (expire_time is null or expire_time > now()) order by grantee limit %s",
        (resource, after, limit),
    )
    return [grant_record(row) async for row in rows]


async def forget(db: Connection, resources: Sequence[str]) -> None:
    """Removes the grants on resources that are removed."""
    await db.execute("delete from access_grants where resource = any(%s)", (list(resources),))


async def delete_expired_grants(db: Connection, limit: int) -> int:
    done = await db.execute(
        """
        delete from access_grants where (resource, grantee) in (
            select resource, grantee from access_grants where expire_time <= now()
            order by expire_time limit %s for update skip locked
        )
        """,
        (limit,),
    )
    return done.rowcount
