"""The predicate of access, as SQL. `policy.py` is what code uses.

A *thing* is a row with the columns `org_id`, `owner_type` and `owner_id`, such as a media. Its keys
are the resources of `access_grants` that it belongs to: the media, the project, the owner, the
organization. The role of a caller on a thing is the highest role of the valid grants of one of its
keys to one of the caller's principals, provided that the caller belongs to its organization.

`role` computes the role on one thing, where the row is loaded. `scope_sql` and `visible` select the
things on which the caller has a role, for lists. Both call the same functions of the database (see
the migration `role_functions`), and tests/database/test_access.py compares both with a model.
PostgreSQL plans the statements of a function once for each connection. If the predicate were a part
of each statement, planning it would take most of the time of the first calls on a connection. No
part contains a percent sign, which psycopg would read as a placeholder.

A share link has no grants, and `role` gives it no role. What it may read or write is computed by
`shared` from its row, in statements of its own, so that nobody else's statements get longer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from media_service.access.principal import LINK, LinkMode, Principal
from media_service.access.role import Role

COLUMNS = "principal, owner_type, owner_id, org_id, issuer, administrator, session_key"
# One caller, and several callers that each ask for the thing with an `id`, as items of FROM. The
# `position` of the first one is 1.
CALLER = (
    "(select %s::text as principal, %s::text as owner_type, %s::text as owner_id,"
    " %s::text as org_id, %s::text as issuer, %s::bool as administrator,"
    " %s::int as session_key) as c"
)
# The planner does not look into a subquery. So its plan is the same for any number of callers, and
# PostgreSQL keeps it: planning takes several times as long as the query.
CALLERS = (
    "unnest((select %s::uuid[]), (select %s::text[]), (select %s::text[]), (select %s::text[]),"
    " (select %s::text[]), (select %s::text[]), (select %s::bool[]), (select %s::int[]))"
    f" with ordinality as c (id, {COLUMNS}, position)"
)
# The same for one caller. PostgreSQL knows that it is one row.
ONE_CALLER = (
    "(select %s::uuid as id, %s::text as principal, %s::text as owner_type, %s::text as owner_id,"
    " %s::text as org_id, %s::text as issuer, %s::bool as administrator,"
    " %s::int as session_key, 1 as position) as c"
)
# One caller, and in `until` the time up to which grants must be valid. Null: forever.
CALLER_UNTIL = (
    "(select coalesce(%s::timestamptz - interval '1 microsecond', 'infinity') as until, c.*"
    f" from {CALLER}) as c"
)


class CallersQuery:
    """A query with `CALLERS`, for one caller or several. Its texts are made once, not for each
    call."""

    def __init__(self, query: str) -> None:
        self._one = query.replace(CALLERS, ONE_CALLER).encode()
        self._several = query.encode()

    def of(self, asked: Sequence[tuple[str, Principal | None]]) -> tuple[bytes, Any]:
        """The query for these callers, and its parameters."""
        if len(asked) > 1:
            return self._several, callers_params(asked)
        ((id_, principal),) = asked
        return self._one, (id_, *caller_params(principal))


def caller_params(principal: Principal | None) -> tuple[str | bool | int | None, ...]:
    """The parameters of `CALLER`. None: nobody, who has no role on anything."""
    if principal is None:
        return (None,) * 7
    return (
        principal.grantee,
        principal.type,
        principal.id,
        principal.org_id,
        principal.org_issuer,
        principal.administrator,
        principal.session_key,
    )


def caller_until_params(principal: Principal, until: datetime | None) -> tuple[Any, ...]:
    """The parameters of `CALLER_UNTIL`. `until` None: forever."""
    return (until, *caller_params(principal))


def callers_params(asked: Sequence[tuple[str, Principal | None]]) -> tuple[list[Any], ...]:
    """The parameters of `CALLERS`."""
    callers = ((id_, *caller_params(principal)) for id_, principal in asked)
    return tuple(list(column) for column in zip(*callers, strict=True))


NOW = "now()"
# Collections in each other.
MAX_NESTED = 5


def valid(grant: str, at: str = NOW) -> str:
    return f"({grant}.expire_time is null or {grant}.expire_time > {at})"


def organizations(caller: str, at: str = NOW) -> str:
    """An array of the organizations that the caller belongs to; '' stands for none."""
    return (
        f"organizations_of({caller}.principal, {caller}.owner_type, {caller}.org_id,"
        f" {caller}.issuer, {at})"
    )


def principals(caller: str, at: str = NOW) -> str:
    """An array of the names under which grants reach the caller, except as a member of a
    project."""
    return f"principals_of({caller}.principal, {organizations(caller, at)})"


def role(
    thing: str, keys: Sequence[str], *, owned: bool = True, caller: str = "c", at: str = NOW
) -> str:
    """The caller's role on a thing that has these keys. `owned`: its owner is OWNER of it. `at`:
    when grants must be valid."""
    owner = f"{thing}.owner_type, {thing}.owner_id" if owned else "null, null"
    return (
        f"role_of({caller}.principal, {caller}.owner_type, {caller}.owner_id, {caller}.org_id,"
        f" {caller}.issuer, {caller}.administrator, {thing}.org_id, {owner},"
        f" array[{', '.join(keys)}], {at})"
    )


def service_role(caller: str, at: str = NOW) -> str:
    """The caller's role on everything in the installation, or, if a claim narrows the caller, on
    what is in that organization. Null: none."""
    return f"service_role_of({caller}.principal, {caller}.administrator, {at})"


def installation_role(caller: str, at: str = NOW) -> str:
    """The caller's role on the installation itself: none if a claim narrows the caller."""
    return f"coalesce(case when {caller}.org_id = '' then {service_role(caller, at)} end, 0)"


def owner_key(thing: str) -> str:
    """Null for an organization with a slash, whose keys would be ambiguous."""
    return (
        f"case when strpos({thing}.org_id, '/') = 0 then"
        f" 'owner:' || {thing}.org_id || '/' || {thing}.owner_type || ':' || {thing}.owner_id end"
    )


def organization_key(thing: str) -> str:
    return f"'organization:' || {thing}.org_id"


def project_keys(project: str) -> tuple[str, ...]:
    """The keys of a project, which are also those of everything in it."""
    return (f"'project:' || {project}.project_id", organization_key(project))


def owner_keys(owner: str) -> tuple[str, ...]:
    """The keys of an owner, that is, of acting for it."""
    return (owner_key(owner), organization_key(owner))


def media_keys(thing: str, media_id: str) -> tuple[str, ...]:
    """The keys of a media, an upload or a job. `media_id`: the column with the id of its media."""
    return (f"'media:' || {thing}.{media_id}", owner_key(thing), *project_keys(thing))


def collection_keys(collection: str) -> tuple[str, ...]:
    """The keys of a collection: of the collections around it, of itself, and of where it belongs.
    `keys_of_collection` in the database has the same."""
    path = tuple(
        f"'collection:' || {collection}.path[{level}]" for level in range(1, MAX_NESTED + 1)
    )
    return (*path, owner_key(collection), *project_keys(collection))


# The principal on whose behalf a share link `l` shares. What a claim of an administrator gives does
# not count: it cannot be taken back.
CREATOR = """(
    select l.owner_type || ':' || l.owner_id as principal, l.owner_type, l.owner_id,
           l.claimed_org_id as org_id, l.claimed_issuer as issuer, false as administrator
) creator"""
MEDIA_OF_CREATOR = role("lm", media_keys("lm", "media_id"), caller="creator")
PROJECT_OF_CREATOR = role("lp", project_keys("lp"), caller="creator")
COLLECTION_OF_CREATOR = role("lk", collection_keys("lk"), caller="creator")
# Whether a share link `l` works.
WORKS = f"""(
    l.revoke_time is null and {valid("l")}
    and case when l.owner_type = 'service_account' then exists (
        select from service_accounts a
        where a.service_account_id = l.owner_id::uuid and a.delete_time is null
    ) else true end
)"""


def shared(caller: str) -> str:
    """What a link that calls shares now, with its mode: the targets on which its creator is still
    MANAGER, as long as the link works."""
    return f"""
        select t.resource, l.mode
        from share_links l
        cross join lateral {CREATOR}
        cross join lateral unnest(l.targets) as t (resource)
        where l.share_link_id = case
                when {caller}.owner_type = '{LINK}' then {caller}.owner_id::uuid
            end
          and l.org_id = {caller}.org_id and l.session_key = {caller}.session_key and {WORKS}
          and {Role.MANAGER:d} <= case
                when starts_with(t.resource, 'media:') then (
                    select {MEDIA_OF_CREATOR} from media lm
                    where lm.media_id = substr(t.resource, 7)::uuid and lm.org_id = l.org_id
                )
                when starts_with(t.resource, 'collection:') then (
                    select {COLLECTION_OF_CREATOR} from collections lk
                    where lk.collection_id = substr(t.resource, 12)::uuid and lk.org_id = l.org_id
                )
                else (
                    select {PROJECT_OF_CREATOR} from projects lp
                    where lp.project_id = substr(t.resource, 9) and lp.org_id = l.org_id
                )
            end
    """


def role_of_link(condition: str, role_sql: str, modes: Sequence[str], shared_role: Role) -> str:
    """The role of a caller that may be a link: `shared_role` if what it shares in one of these
    modes, `s.resource`, meets the condition. `role_sql`: the role of any other caller."""
    listed = ", ".join(f"'{mode}'" for mode in modes)
    return f"""
        case when c.owner_type = '{LINK}' then coalesce((
            select {shared_role:d} from ({shared("c")}) s
            where s.mode in ({listed}) and {condition} limit 1
        ), 0) else {role_sql} end
    """


READING = (LinkMode.VIEW.value, LinkMode.DOWNLOAD.value)
UPLOADING = (LinkMode.UPLOAD.value,)
# What a link to a collection shares: the collections in it, and what they share with those who have
# a role on them.
COLLECTION_SHARED = "starts_with(s.resource, 'collection:')"
OF_COLLECTION = f"""(
    {COLLECTION_SHARED} and exists (
        select from collection_members sm
        join collections sk on sk.collection_id = sm.collection_id
        where sm.media_id = m.media_id and sm.shared and sk.org_id = m.org_id
          and substr(s.resource, 12) = any(sk.path::text[])
    )
)"""


def readable_by_link(role_sql: str) -> str:
    """The role on a media `m` of a caller that may be a link, for which deleted media do not exist.
    `role_sql`: the role of any other caller."""
    keys = "('media:' || m.media_id, 'project:' || m.project_id)"
    condition = f"m.delete_time is null and (s.resource in {keys} or {OF_COLLECTION})"
    return role_of_link(condition, role_sql, READING, Role.VIEWER)


def collection_readable_by_link(collection: str, role_sql: str) -> str:
    """The role on a collection of a caller that may be a link. `role_sql`: the role of any other
    caller."""
    condition = f"{COLLECTION_SHARED} and substr(s.resource, 12) = any({collection}.path::text[])"
    return role_of_link(condition, role_sql, READING, Role.VIEWER)


def writable_by_link(project: str, role_sql: str) -> str:
    """The role of a caller that may be a link, if it may upload into the project with this key.
    `role_sql`: the role of any other caller."""
    return role_of_link(f"s.resource = {project}", role_sql, UPLOADING, Role.EDITOR)


def scope_of_link(minimum: Role) -> str:
    """Like `scope_sql`, for a link. Its page must leave out deleted media."""
    return f"""
        caller as materialized (select c.* from {CALLER}),
        caller_organizations as materialized (select c.org_id from caller c),
        reached as materialized (
            select s.resource collate "C" as resource from caller c, lateral ({shared("c")}) s
            where s.mode in {READING} and {Role.VIEWER:d} >= {minimum:d}
        ),
        administered as materialized (select '' as org_id where false)
    """


# Of the collections with some ids, those on which the caller has a role, and their members. The ids
# are a parameter.
NAMED_COLLECTIONS = f"""
        named_collections as materialized (
            select k.collection_id, k.org_id from caller c cross join collections k
            where k.collection_id = any(%s::uuid[]) and {role("k", collection_keys("k"))} > 0
        ),
        named_members as materialized (
            select n.collection_id, n.org_id, cm.media_id, cm.shared from named_collections n
            join collection_members cm on cm.collection_id = n.collection_id
        ),
"""
# What these share with the caller, as in `role_of`.
SHARED_BY_COLLECTIONS = """
            union
            select ('media:' || n.media_id) collate "C" from named_members n
            join media m on m.media_id = n.media_id and m.org_id = n.org_id where n.shared
"""
# The media with some SHA-256, which are a parameter. They are read from an index by containers, and
# only from those of the caller: how long that takes tells nothing of what other tenants have. See
# the migration `contents`.
NAMED_CONTENTS = """
        , named_contents as materialized (
            select named.content, found.* from unnest(%s::bytea[]) as named (content)
            cross join lateral media_with_content(
                named.content,
                array(
                    select resource from reached
                    where resource >= 'organization:' and resource < 'project;'
                    union all
                    select ('owner:' || o.org_id || '/' || c.owner_type || ':' || c.owner_id)
                        collate "C"
                    from caller c cross join caller_organizations o
                    union all
                    select case org_id when '' then 'service:' else 'organization:' || org_id end
                        collate "C"
                    from administered
                ),
                array(
                    select substr(resource, 7)::uuid from reached
                    where resource >= 'media:' and resource < 'media;'
                )
            ) found
        )
"""
# What a list is limited to: the members of some of the named collections, and some of the contents.
MEMBERS = "select media_id from named_members where collection_id = any(%s::uuid[])"
CONTENTS = "select media_id from named_contents where content = any(%s::bytea[])"


def scope_sql(minimum: Role, named: str = "", shared: str = "") -> str:
    """Common table expressions for `visible`, with the parameters of `CALLER`. `named`: more of
    them, with their parameters. `shared`: a UNION with further resources."""
    return f"""
        caller as materialized (select c.* from {CALLER}),
        {named}
        caller_organizations as materialized (
            select unnest({organizations("caller")}) as org_id from caller
        ),
        direct as materialized (
            select g.resource, max(g.role) as role from access_grants g
            where g.grantee in (
                select unnest(
                    principals_of(c.principal, array(select org_id from caller_organizations))
                )
                from caller c
            ) and g.role > 0 and {valid("g")}
            group by g.resource
        ),
        reached as materialized (
            select resource from direct where role >= {minimum:d}
            union
            select g.resource from direct d join access_grants g on g.grantee = d.resource
            where d.resource >= 'project:' and d.resource < 'project;'
              and least(g.role, d.role) >= {minimum:d} and {valid("g")}
            {shared}
        ),
        administered as materialized (
            select c.org_id from caller c where {service_role("c")} >= {minimum:d}
        )
    """


def visible(thing: str, media_id: str) -> str:
    """The condition for the media, uploads or jobs on which the caller has the role of the scope.
    The statement begins with `Scope.sql`."""
    return reachable(thing, f"{mine(thing)} or {among(media_keys(thing, media_id))}")


def mine(thing: str) -> str:
    return f"({thing}.owner_type, {thing}.owner_id) = (select owner_type, owner_id from caller)"


def reachable(thing: str, condition: str) -> str:
    return f"""(
        ({thing}.org_id in (select org_id from caller_organizations) and ({condition}))
        or exists (select from administered a where a.org_id in ('', {thing}.org_id))
    )"""


def among(keys: Sequence[str]) -> str:
    return " or ".join(f"{key} in (select resource from reached)" for key in keys)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a caller may see in lists: common table expressions, and their parameters. `within`: the
    list has only media that are in the table `within`."""

    sql: str
    params: tuple[Any, ...]
    within: bool = False


@dataclass(frozen=True, slots=True)
class Named:
    """The ids of collections and the SHA-256 that a filter names. Each media that it selects is in
    one of those `within`; None: it selects others, too."""

    collections: frozenset[str] = frozenset()
    contents: frozenset[bytes] = frozenset()
    within: frozenset[str | bytes] | None = None


NOTHING = Named()


def scope_of(principal: Principal, minimum: Role, named: Named = NOTHING) -> Scope:
    """What the named collections share with the caller is in scope, too."""
    params: tuple[Any, ...] = caller_params(principal)
    if principal.type == LINK:
        sql = scope_of_link(minimum)
    elif named.collections:
        # To share is to let others view.
        shared = SHARED_BY_COLLECTIONS if minimum <= Role.VIEWER else ""
        sql = scope_sql(minimum, NAMED_COLLECTIONS, shared)
        params = (*params, sorted(named.collections))
    else:
        sql = scope_sql(minimum)
    if named.contents:
        sql += NAMED_CONTENTS
        params = (*params, sorted(named.contents))
    if named.within is None:
        return Scope(sql, params)
    members = sorted(each for each in named.within if isinstance(each, str))
    contents = sorted(each for each in named.within if isinstance(each, bytes))
    found = {MEMBERS: members, CONTENTS: contents}
    union = " union ".join(part for part, values in found.items() if values)
    params = (*params, *(values for values in found.values() if values))
    return Scope(f"{sql}, within as materialized ({union})", params, within=True)
