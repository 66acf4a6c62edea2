"""Pages of what a caller may see, as SQL.

A condition such as `visible` would be checked row by row: a caller who may see little would
wait for a scan of the table. Instead, the caller's containers are found first: owners, projects,
organizations, single media. Each is read in the order of the list from an index of its own, until
the page is full; then the page is the beginning of their union. So a page costs about as many rows
as the caller has containers, times the size of the page, however large the table is.

Of more projects than a page has rows, only those count whose first rows come first.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from media_service.access.policy import Condition
from media_service.access.queries import Scope, visible


@dataclass(frozen=True, slots=True)
class Table:
    """A table of what callers own. `id` and `media_id`: columns. `media_id` None: the rows belong
    to no media. `in_projects`: whether they have a `project_id`. `owners`: a table of `CONTAINERS`.
    `nested`: whether they are collections, with a `path`.
    """

    name: str
    alias: str
    id: str
    media_id: str | None
    in_projects: bool = True
    owners: str = "owners"
    nested: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """A column to sort by. The keys of a list end with the id. `missing`: the SQL of what stands
    for null, which has no order."""

    name: str
    descending: bool
    missing: str = ""

    def of(self, alias: str) -> str:
        column = f"{alias}.{self.name}"
        return f"coalesce({column}, {self.missing})" if self.missing else column

    def place(self, value: Any) -> Condition:
        """A value of the key, which may be null."""
        if value is None and self.missing:
            return Condition(self.missing, ())
        return Condition("%s", (value,))


@dataclass(frozen=True, slots=True)
class Page:
    """Common table expressions, of which `page` has the ids of the rows in the column `id`, and
    their parameters."""

    sql: str
    params: tuple[Any, ...]


def order_sql(alias: str, keys: Sequence[Key]) -> str:
    return ", ".join(f"{key.of(alias)}{' desc' if key.descending else ''}" for key in keys)


def after_sql(alias: str, keys: Sequence[Key], values: Sequence[Any]) -> Condition:
    """The condition for the rows after the one with these values, in this order."""
    places = [key.place(value) for key, value in zip(keys, values, strict=True)]
    if len({key.descending for key in keys}) == 1:  # an index scan can begin there
        columns = ", ".join(key.of(alias) for key in keys)
        operator = "<" if keys[0].descending else ">"
        row = ", ".join(place.sql for place in places)
        return Condition(f"({columns}) {operator} ({row})", params_of(places))
    options: list[str] = []
    params: list[Any] = []
    for i, key in enumerate(keys):
        equal = [
            f"{key.of(alias)} = {place.sql}" for key, place in zip(keys[:i], places, strict=False)
        ]
        later = f"{key.of(alias)} {'<' if key.descending else '>'} {places[i].sql}"
        options.append(" and ".join([*equal, later]))
        params += params_of(places[: i + 1])
    return Condition("(" + " or ".join(f"({o})" for o in options) + ")", tuple(params))


def params_of(conditions: Iterable[Condition]) -> tuple[Any, ...]:
    return tuple(value for each in conditions for value in each.params)


# The names in grants are in the order of bytes. With that collation, no index of a table that has
# another one could be used.
CONTAINERS = """
    organizations_of_caller as materialized (
        select array(select org_id from caller_organizations) as ids
    ),
    own as materialized (
        select o.org_id collate "default" as org_id, c.owner_type, c.owner_id
        from caller c cross join caller_organizations o
    ),
    owners as materialized (
        select * from own
        union
        select split_part(key, '/', 1) collate "default",
               split_part(named, ':', 1) collate "default",
               substr(named, strpos(named, ':') + 1) collate "default"
        from (
            select substr(resource, 7) as key,
                   substr(resource, 7 + strpos(substr(resource, 7), '/')) as named
            from reached where resource >= 'owner:' and resource < 'owner;'
        ) granted
        where split_part(key, '/', 1) in (select org_id from caller_organizations)
    ),
    projects_of_caller as materialized (
        select substr(resource, 9) collate "default" as project_id
        from reached where resource >= 'project:' and resource < 'project;'
    ),
    whole_organizations as materialized (
        select substr(resource, 14) collate "default" as org_id
        from reached where resource >= 'organization:' and resource < 'organization;'
        intersect
        select org_id collate "default" from caller_organizations
    ),
    single_collections as materialized (
        select substr(resource, 12)::uuid as collection_id
        from reached where resource >= 'collection:' and resource < 'collection;'
    ),
    single_media as materialized (
        select substr(resource, 7)::uuid as media_id
        from reached where resource >= 'media:' and resource < 'media;'
    )
"""


IN_ORGANIZATION = "{0}.org_id = any((select ids from organizations_of_caller)::text[])"
# The containers of each kind, and the condition for what is in one of them, with the alias as {0}.
OWNED = "({0}.org_id, {0}.owner_type, {0}.owner_id) = (c.org_id, c.owner_type, c.owner_id)"
IN_PROJECT = "{0}.project_id = c.project_id and {0}.project_id <> '' and " + IN_ORGANIZATION
WHOLE = ("whole_organizations c", "{0}.org_id = c.org_id and {0}.org_id <> ''")
SINGLE_MEDIA, WITHIN = "single_media c", "within c"
ADMINISTERED = ("administered c", "c.org_id in ('', {0}.org_id)")


# The organizations of the caller. Of somebody who administers the installation: all that have rows,
# each found by one look into an index.
ORGANIZATIONS = """
    all_organizations as materialized (
        with recursive each as (
            select (select min(t.org_id) from {table} t where t.org_id > '') as org_id
            where exists (select from administered where org_id = '')
            union all
            select (select min(t.org_id) from {table} t where t.org_id > each.org_id)
            from each where each.org_id is not null
        )
        select org_id from each where org_id is not null
    ),
    organizations_read as materialized (
        select org_id from all_organizations
        union select org_id from administered where org_id <> ''
        union select org_id from caller_organizations where org_id <> ''
    )
"""


def page_of(
    table: Table, scope: Scope, conditions: Sequence[Condition], keys: Sequence[Key], limit: int
) -> Page:
    """The page of the rows in scope that meet all conditions, in the order of the keys."""
    rows = Rows(table, conditions, keys)
    containers = Condition(CONTAINERS, ())
    if table.in_projects:
        projects = rows.first_projects(limit)
        containers = Condition(f"{CONTAINERS}, {projects.sql}", projects.params)
    branches = [
        rows.first_of(name, inside, limit)
        for name, inside in containers_of(table, scope, "first_projects")
    ]
    union = " union ".join(f"({branch.sql})" for branch in branches)
    sql = f"""
        {scope.sql}, {containers.sql},
        page as materialized (
            select id from ({union}) found order by {rows.order_of("found")} limit %s
        )
    """
    return Page(sql, (*scope.params, *params_of((containers, *branches)), limit))


def page_of_much(
    table: Table, scope: Scope, conditions: Sequence[Condition], keys: Sequence[Key], limit: int
) -> Page:
    """Like `page_of`, for callers who see many rows that meet the conditions. Each organization is
    read as a whole, in the order of the list, from an index that begins with it, until the page is
    full of what the caller may see. So a page costs as many rows as there are for each such row,
    times the size of the page. Outside of organizations, where the rows of strangers are, it reads
    what `page_of` does."""
    if scope.within:
        return page_of(table, scope, conditions, keys, limit)
    rows = Rows(table, conditions, keys)
    seen = visible(table.alias, table.media_id or table.id)
    inside = f"{{0}}.org_id = c.org_id and {{0}}.org_id <> '' and {seen}"
    branches = [
        rows.first_of("organizations_read c", inside, limit),
        *(
            rows.first_of(name, f"{alone} and {{0}}.org_id = ''", limit)
            for name, alone in containers_of(table, scope, "projects_of_caller")
            if (name, alone) != WHOLE
        ),
    ]
    union = " union ".join(f"({branch.sql})" for branch in branches)
    sql = f"""
        {scope.sql}, {CONTAINERS}, {ORGANIZATIONS.format(table=table.name)},
        page as materialized (
            select id from ({union}) found order by {rows.order_of("found")} limit %s
        )
    """
    return Page(sql, (*scope.params, *params_of(branches), limit))


def some_of(table: Table, scope: Scope, conditions: Sequence[Condition], most: int) -> Page:
    """At most so many of the rows in scope that meet all conditions, in no order. To count them
    costs less than to sort them. The limit is in the text: when PostgreSQL plans the statement for
    any parameters, it would expect a tenth of the table."""
    rows = Rows(table, conditions, [])
    branches = [
        rows.any_of(name, inside, most)
        for name, inside in containers_of(table, scope, "projects_of_caller")
    ]
    union = " union ".join(f"({branch.sql})" for branch in branches)
    sql = f"""
        {scope.sql}, {CONTAINERS},
        page as materialized (select id from ({union}) found limit {most:d})
    """
    return Page(sql, (*scope.params, *params_of(branches)))


def containers_of(table: Table, scope: Scope, projects: str) -> Iterator[tuple[str, str]]:
    """The common table expressions of the containers of a table's rows, and the conditions for what
    is in one of them."""
    if scope.within:  # these media are few, and no container has them in order
        seen = visible(table.alias, table.media_id or table.id)
        yield WITHIN, f"{{0}}.{table.media_id} = c.media_id and {seen}"
        return
    yield f"{table.owners} c", OWNED
    yield WHOLE
    yield ADMINISTERED
    if table.in_projects:
        yield f"{projects} c", IN_PROJECT
    if table.media_id:
        yield SINGLE_MEDIA, f"{{0}}.{table.media_id} = c.media_id and {IN_ORGANIZATION}"
    if table.nested:
        within = "{0}.path @> array[c.collection_id]"
        yield "single_collections c", f"{within} and {IN_ORGANIZATION}"


class Rows:
    """The rows of a table that meet all conditions, with the columns `id`, `key0`, `key1` and so
    on."""

    def __init__(self, table: Table, conditions: Sequence[Condition], keys: Sequence[Key]) -> None:
        self._table = table
        self._keys = keys
        self._where = [each.sql for each in conditions]
        self._params = params_of(conditions)

    def order_of(self, alias: str, nulls: str = "") -> str:
        """The order of the list, by the columns of these rows."""
        names = [f"key{number}" for number in range(len(self._keys) - 1)] + ["id"]
        return ", ".join(
            f"{alias}.{name}{' desc' if key.descending else ''}{nulls}"
            for name, key in zip(names, self._keys, strict=True)
        )

    def first_of(self, containers: str, inside: str, limit: int) -> Condition:
        """The first rows of each container `c`."""
        if containers in {SINGLE_MEDIA, WITHIN} and self._table.id == self._table.media_id:
            return self._only_of(containers, inside)
        first = self._first(inside, limit)
        return Condition(f"select k.* from {containers}, lateral ({first.sql}) k", first.params)

    def any_of(self, containers: str, inside: str, limit: int) -> Condition:
        """Some rows of the containers `c`."""
        alias = self._table.alias
        where = self._where_in(inside)
        sql = (
            f"select {alias}.{self._table.id} as id from {containers}, {self._table.name} {alias}"
            f" where {where} limit {limit:d}"
        )
        return Condition(sql, self._params)

    def first_projects(self, limit: int) -> Condition:
        """The projects whose first rows come first. If they are no more than the limit, all."""
        many = "(select count(*) from projects_of_caller) > %s"
        head = self._first(f"{many} and {IN_PROJECT}", 1, limit)
        sql = f"""
            first_projects as materialized (
                select c.project_id from projects_of_caller c
                left join lateral ({head.sql}) h on true
                order by {self.order_of("h", " nulls last")} limit %s
            )
        """
        return Condition(sql, (*head.params, limit))

    def _only_of(self, containers: str, inside: str) -> Condition:
        """The only row of each container. To sort each of them takes as long as to find it."""
        alias = self._table.alias
        where = self._where_in(inside)
        sql = f"select {self._columns} from {containers}, {self._table.name} {alias} where {where}"
        return Condition(sql, self._params)

    def _first(self, inside: str, limit: int, *before: Any) -> Condition:
        """`before`: the parameters of `inside`."""
        alias = self._table.alias
        sql = (
            f"select {self._columns} from {self._table.name} {alias}"
            f" where {self._where_in(inside)} order by {order_sql(alias, self._keys)} limit %s"
        )
        return Condition(sql, (*before, *self._params, limit))

    @property
    def _columns(self) -> str:
        alias = self._table.alias
        keys = [f"{key.of(alias)} as key{n}" for n, key in enumerate(self._keys[:-1])]
        return ", ".join([f"{alias}.{self._table.id} as id", *keys])

    def _where_in(self, inside: str) -> str:
        return " and ".join([inside.format(self._table.alias), *self._where])
