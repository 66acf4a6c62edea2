"""SQL of organizations, projects, groups and grants."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from media_service.access.lists import Key, Table, after_sql, order_sql, page_of
from media_service.access.owner import Owner
from media_service.access.policy import Condition
from media_service.access.principal import LINK, Principal
from media_service.access.queries import (
    CALLER,
    CALLER_UNTIL,
    NOW,
    Scope,
    caller_params,
    caller_until_params,
    collection_keys,
    installation_role,
    media_keys,
    organization_key,
    organizations,
    owner_keys,
    principals,
    project_keys,
    role,
    valid,
    writable_by_link,
)
from media_service.access.role import Role
from media_service.db.locks import Lock, lock
from media_service.db.transaction import Connection
from media_service.sharing.model import Grant, Group, GroupMember, Located, Organization, Project
from media_service.sharing.resources import Resource

# Roles, with the alias that the statements below give the thing.
PROJECT_ROLE = role("p", project_keys("p"))
PROJECT_ROLE_OF_LINK = writable_by_link("'project:' || p.project_id", "0")
ORGANIZATION_KEYS = (organization_key("t"),)
ORGANIZATION_ROLE = role("t", ORGANIZATION_KEYS, owned=False)
LIVE = "o.delete_time is null"
ORGANIZATION = f"(select o.*, o.organization_id as org_id from organizations o where {LIVE}) t"
# The issuer of a deleted organization, which no token has: nobody belongs to it by a claim.
NO_ISSUER = "deleted:"
BELONGS = f"t.org_id = any({organizations('c')})"

NO_PROJECT = "''"


def policies(thing: str, project_id: str) -> str:
    """The settings of the policies that apply to a thing, that of the organization first."""
    return f"""(
        select json_agg(applying.settings order by applying.resource) from policies applying
        where applying.resource in ('organization:' || {thing}.org_id, 'project:' || {project_id})
    )"""


# Each kind of resource: its row, and its keys.
THINGS: dict[str, tuple[str, Sequence[str]]] = {
    "media": ("(select * from media where media_id = %s) t", media_keys("t", "media_id")),
    "collection": (
        "(select * from collections where collection_id = %s) t",
        collection_keys("t"),
    ),
    "project": ("(select * from projects where project_id = %s) t", project_keys("t")),
    "owner": (
        "(select %s::text as org_id, %s::text as owner_type, %s::text as owner_id) t",
        owner_keys("t"),
    ),
    "organization": (
        "(select o.organization_id as org_id from organizations o"
        f" where o.organization_id = %s and {LIVE}) t",
        ORGANIZATION_KEYS,
    ),
}


def role_queries(caller: str, at: str) -> dict[str, str]:
    """For each kind of resource, the query for its organization and for the caller's role on it."""
    queries = {
        "service": f"select '' as org_id, {installation_role('c', at)} as role from {caller}"
    }
    for kind, (thing, keys) in THINGS.items():
        role_sql = role("t", keys, owned=kind != "organization", at=at)
        more = f", {policies('t', NO_PROJECT)} as policies" if kind == "owner" else ""
        queries[kind] = (
            f"select t.org_id, {role_sql} as role{more} from {caller} cross join {thing}"
        )
    return queries


ROLES = role_queries(CALLER, NOW)
LASTING_ROLES = role_queries(CALLER_UNTIL, "c.until")

# A grant on an owner does not apply to the projects of the owner.
PROJECTS = Table("projects", "p", "project_id", media_id=None, owners="own")
NEWEST = (Key("create_time", descending=True), Key("project_id", descending=True))


# Roles


async def project(db: Connection, project_id: str, principal: Principal) -> Project | None:
    role_sql = PROJECT_ROLE_OF_LINK if principal.type == LINK else PROJECT_ROLE
    rows = await db.execute(
        f"select p.*, {role_sql} as role, {policies('p', 'p.project_id')} as policies"
        f" from {CALLER} cross join projects p where p.project_id = %s".encode(),
        (*caller_params(principal), project_id),
    )
    row = await rows.fetchone()
    return project_record(row) if row else None


async def lock_project(db: Connection, project_id: str, principal: Principal) -> Project | None:
    await db.execute("select from projects where project_id = %s for update", (project_id,))
    return await project(db, project_id, principal)


async def locate_owner(db: Connection, owner: Owner, principal: Principal) -> Located | None:
    """The caller's role on what an owner owns."""
    params = (*caller_params(principal), *owner_params(owner))
    return await locate_by(db, ROLES["owner"], params)


async def lasting_role_for_owner(
    db: Connection, owner: Owner, principal: Principal, until: datetime | None
) -> Role:
    """The role that the caller still has at a time. None: that they have without an end."""
    params = (*caller_until_params(principal, until), *owner_params(owner))
    located = await locate_by(db, LASTING_ROLES["owner"], params)
    return located.role if located else Role.NONE


async def role_on_installation(db: Connection, principal: Principal) -> Role:
    located = await locate_by(db, ROLES["service"], caller_params(principal))
    return located.role if located else Role.NONE


async def locate(db: Connection, resource: Resource, principal: Principal) -> Located | None:
    """Returns None if there is no such resource."""
    params = (*caller_params(principal), *resource_params(resource))
    return await locate_by(db, ROLES[resource.kind], params)


async def lasting_role(
    db: Connection, resource: Resource, principal: Principal, until: datetime | None
) -> Role:
    """Like `lasting_role_for_owner`."""
    params = (*caller_until_params(principal, until), *resource_params(resource))
    located = await locate_by(db, LASTING_ROLES[resource.kind], params)
    return located.role if located else Role.NONE


def resource_params(resource: Resource) -> tuple[str, ...]:
    match resource.kind:
        case "service":
            return ()
        case "owner":
            return owner_params(resource.owner)
        case _:
            return (resource.id,)


def owner_params(owner: Owner) -> tuple[str, ...]:
    return (owner.org_id, owner.type, owner.id)


async def locate_by(db: Connection, query: str, params: Sequence[object]) -> Located | None:
    rows = await db.execute(query.encode(), params)
    row = await rows.fetchone()
    return Located(row["org_id"], Role(row["role"]), row.get("policies") or ()) if row else None


async def policies_in(
    db: Connection, org_id: str, project_id: str
) -> Sequence[Mapping[str, Any]] | None:
    """The settings of the policies in an organization and a project, either of which may be
    empty."""
    rows = await db.execute(
        f"select {policies('t', 't.project_id')} as policies"
        " from (select %s::text as org_id, %s::text as project_id) t".encode(),
        (org_id, project_id),
    )
    row = await rows.fetchone()
    return row["policies"] if row else None


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
    """Returns False if there is one with this id, or was one."""
    done = await db.execute(
        "insert into organizations (organization_id, display_name, issuer) values (%s, %s, %s)"
        " on conflict do nothing",
        (organization_id, display_name, issuer),
    )
    return done.rowcount == 1


async def lock_organization(db: Connection, organization_id: str) -> None:
    await db.execute(
        "select from organizations where organization_id = %s for update", (organization_id,)
    )


async def update_organization(
    db: Connection, organization_id: str, display_name: str | None, issuer: str | None
) -> None:
    await db.execute(
        "update organizations set display_name = coalesce(%s, display_name),"
        " issuer = coalesce(%s, issuer), update_time = now() where organization_id = %s",
        (display_name, issuer, organization_id),
    )


async def delete_organization(db: Connection, organization_id: str) -> bool:
    """Deletes an organization, its groups, grants and quotas. Returns False if something is in it.
    Its row stays, so that its id is not used again: ended jobs, the audit log and tokens name
    it."""
    done = await db.execute(
        """
        update organizations o
        set delete_time = now(), update_time = now(), issuer = %s
        where o.organization_id = %s
          and not exists (select from projects p where p.org_id = o.organization_id)
          and not exists (
              select from media m where m.org_id = o.organization_id and m.org_id <> ''
          )
          and not exists (
              select from uploads u
              where u.org_id = o.organization_id and u.org_id <> ''
                and u.state in ('ACTIVE', 'VERIFYING')
          )
          and not exists (
              select from service_accounts a
              where a.org_id = o.organization_id and a.delete_time is null
          )
        """,
        (NO_ISSUER, organization_id),
    )
    if done.rowcount == 0:
        return False
    await db.execute(
        """
        delete from access_grants where grantee in (
            select 'group:' || g.group_id from groups g where g.org_id = %s
        )
        """,
        (organization_id,),
    )
    await db.execute("delete from groups where org_id = %s", (organization_id,))
    name = f"organization:{organization_id}"
    # Its owners: what begins with "owner:ID/". "0" comes after "/".
    owners = (f"owner:{organization_id}/", f"owner:{organization_id}0")
    await db.execute(
        "delete from access_grants"
        " where resource = %s or grantee = %s or resource >= %s and resource < %s",
        (name, name, *owners),
    )
    await db.execute("delete from policies where resource = %s", (name,))
    await db.execute("delete from blocked_files where scope = %s", (name,))
    await db.execute("delete from blocked_images where scope = %s", (name,))
    await db.execute(
        "delete from quotas where account = %s or account >= %s and account < %s",
        (name, *owners),
    )
    return True


async def organization(
    db: Connection, organization_id: str, principal: Principal
) -> Organization | None:
    """An organization that the caller belongs to or has a role on."""
    rows = await db.execute(
        f"""
        select * from (
            select t.*, {ORGANIZATION_ROLE} as role, {BELONGS} as belongs
            from {CALLER} cross join {ORGANIZATION} where t.organization_id = %s
        ) found
        where belongs or role > 0
        """.encode(),
        (*caller_params(principal), organization_id),
    )
    row = await rows.fetchone()
    return organization_record(row) if row else None


async def organization_page(
    db: Connection, scope: Scope, after: str | None, limit: int
) -> list[Organization]:
    """The organizations that the caller belongs to or has a role on, by id."""
    role_sql = role("t", ORGANIZATION_KEYS, owned=False, caller="caller")
    rows = await db.execute(
        f"""
        with {scope.sql}
        select t.*, {role_sql} as role from caller cross join (
            select o.*, o.organization_id as org_id from (
                select o.organization_id from (
                    select distinct org_id collate "default" as org_id from caller_organizations
                ) c, lateral (
                    select o.organization_id from organizations o
                    where o.organization_id = c.org_id and o.organization_id > %s and {LIVE}
                    limit 1
                ) o
                union
                (
                    select o.organization_id from administered a, lateral (
                        select o.organization_id from organizations o
                        where a.org_id in ('', o.organization_id) and o.organization_id > %s
                          and {LIVE}
                        order by o.organization_id limit %s
                    ) o
                )
            ) found join organizations o using (organization_id)
            order by o.organization_id limit %s
        ) t
        order by t.organization_id
        """.encode(),
        (*scope.params, after or "", after or "", limit, limit),
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
        row.get("policies") or (),
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
    """Deletes a project, its grants, its quota and its policy. Returns False if something is in
    it."""
    done = await db.execute(
        """
        delete from projects p
        where project_id = %s
          and not exists (select from media m where m.project_id = p.project_id)
          and not exists (
              select from uploads u
              where u.project_id = p.project_id and u.state in ('ACTIVE', 'VERIFYING')
          )
          and not exists (
              select from collections k
              where k.project_id = p.project_id and k.project_id <> ''
          )
        """,
        (project_id,),
    )
    if done.rowcount == 0:
        return False
    name = f"project:{project_id}"
    await db.execute("delete from access_grants where resource = %s or grantee = %s", (name, name))
    await db.execute("delete from quotas where account = %s", (name,))
    await db.execute("delete from policies where resource = %s", (name,))
    return True


async def project_page(
    db: Connection,
    scope: Scope,
    organization_id: str | None,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[Project]:
    """Projects that the caller may see, newest first."""
    where = []
    if organization_id is not None:
        where.append(Condition("p.org_id = %s", (organization_id,)))
    if after is not None:
        where.append(after_sql("p", NEWEST, after))
    page = page_of(PROJECTS, scope, where, NEWEST, limit)
    role_sql = role("p", project_keys("p"), caller="caller")
    rows = await db.execute(
        f"""
        with {page.sql}
        select p.*, {role_sql} as role
        from page join projects p on p.project_id = page.id cross join caller
        order by {order_sql("p", NEWEST)}
        """.encode(),
        page.params,
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
    """The organization of a group or an organization. None if it does not exist."""
    query = {
        "group": "select org_id from groups where group_id = %s",
        "organization": "select o.organization_id as org_id from organizations o"
        f" where o.organization_id = %s and {LIVE}",
    }[kind]
    rows = await db.execute(query.encode(), (grantee_id,))
    row = await rows.fetchone()
    return row["org_id"] if row else None


async def lock_grants(db: Connection, resource: str) -> None:
    """Makes changes of the grants on a resource wait for each other until the transaction ends, so
    that each sees the roles that the one before has left. Of an organization, this includes changes
    of its groups."""
    await lock(db, Lock.GRANTS, resource)


async def grant(db: Connection, resource: str, grantee: str) -> Grant | None:
    """Returns a grant, and locks it."""
    rows = await db.execute(
        "select * from access_grants where resource = %s and grantee = %s for update",
        (resource, grantee),
    )
    row = await rows.fetchone()
    return grant_record(row) if row else None


async def highest_role(db: Connection, grantee: str) -> Role:
    """The highest role that a grantee has on any resource. A role through a project is no higher
    than the one on the project, so it does not count apart."""
    query = f"select max(role) as role from access_grants g where grantee = %s and {valid('g')}"
    rows = await db.execute(query.encode(), (grantee,))
    row = await rows.fetchone()
    return Role(row["role"] or Role.NONE) if row else Role.NONE


# The organization of the resource of a grant. '*': of the installation, which has all.
GRANT_ORGANIZATION = """
    case split_part(g.resource, ':', 1)
        when 'organization' then substr(g.resource, 14)
        when 'owner' then split_part(substr(g.resource, 7), '/', 1)
        when 'project' then (
            select p.org_id from projects p
            where p.project_id = substr(g.resource, 9) collate "default"
        )
        when 'media' then (
            select m.org_id from media m where m.media_id = substr(g.resource, 7)::uuid
        )
        else '*'
    end
"""


async def highest_role_beyond(db: Connection, other: Principal, principal: Principal) -> Role:
    """The highest role that another caller has on any resource, as `highest_role`, by a name that
    is not one of the names of the caller. If the other one is in an organization, grants on what is
    outside of it have no effect and do not count."""
    rows = await db.execute(
        f"""
        with other as (select c.* from {CALLER}), caller as (select c.* from {CALLER})
        select max(g.role) as role
        from other
        cross join lateral (
            select o.principal from unnest({principals("other")}) as o (principal)
            where o.principal <> all((select {principals("caller")} from caller)::text[])
        ) name
        join access_grants g on g.grantee = name.principal
        where {valid("g")} and (other.org_id = '' or {GRANT_ORGANIZATION} in (other.org_id, '*'))
        """.encode(),
        (*caller_params(other), *caller_params(principal)),
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
