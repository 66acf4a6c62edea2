"""The tables that name people.

A package whose table names people has a module `personal_data` with `ROWS`. EraseUser and
ExportUser find them there. tests/database/test_personal_data.py fails for a column with text that
is in no `ROWS` and that it does not list as one that names nobody.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from functools import cache
from typing import Any, TypeAlias

from media_service.db.transaction import Connection, Transaction
from media_service.discovery import find_modules

# The type of the owner of what stays. Its id is the pseudonym of the person.
ERASED = "erased"
BATCH = 500
# The batch of rows that quotas charge. A transaction locks accounts last, after media, jobs and
# streams: if it changed several rows, it would lock those of the first before the second row.
CHARGED_BATCH = 1

Row: TypeAlias = Mapping[str, Any]
Key: TypeAlias = Sequence[Any]
Erase = Callable[[Transaction, Sequence[Row]], Awaitable[int]]
Parts = Callable[[Connection, str, "Person"], Awaitable[list[str]]]


class Step(IntEnum):
    """When rows are erased: those of a lower step first."""

    ACCESS = 1  # by which the person, or others in their name, can act
    CONTENT = 2
    CONTAINERS = 3  # of content
    ACCOUNTS = 4
    LOG = 5


class Fate(StrEnum):
    """What an erasure does to rows."""

    REMOVED = "removed"
    PSEUDONYMIZED = "pseudonymized"


@dataclass(frozen=True, slots=True)
class Person:
    """A user, or a service account that belongs to one. `names`: of the user and all of their
    service accounts, as grantees. `pseudonym`: replaces the name in rows that stay. `part`: see
    `PersonalRows`."""

    type: str
    id: str
    names: Sequence[str]
    pseudonym: str = ""
    part: str = ""

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of `PersonalRows.of` and `PersonalRows.changes`."""
        return {
            "type": self.type,
            "id": self.id,
            "part": self.part,
            "name": f"{self.type}:{self.id}",
            "names": list(self.names),
            "pseudonym": self.pseudonym,
        }


@dataclass(frozen=True, slots=True)
class PersonalRows:
    """Rows `r` of a table that name a person.

    `columns` name people. `of` is an SQL condition for the rows of a person; see `Person.params`.
    `key` are columns that identify a row. An index supports `of` and has the rows in the order of
    `key`, so that a page reads only its own rows. If it needs one more value for that, such as the
    organization, `parts` returns all values for a person, and `of` is evaluated for each `part`.
    `through` is a table `k` with the same key whose index finds the rows; `of` is about `k` then.

    `changes` is the SET clause that pseudonymizes a row. `ready` is a condition for rows that can
    be erased now; others are erased by a later pass. `erase` replaces the statement that erases
    `batch` rows, and returns their number. Without `erase` and `changes`, PSEUDONYMIZED rows stay
    as they are, because they name the person only through another table. `secret` are columns that
    no export has. `exported` is the row as JSON.
    """

    table: str
    columns: tuple[str, ...]
    of: str
    key: tuple[str, ...]
    step: Step
    fate: Fate = Fate.REMOVED
    parts: Parts | None = None
    through: str = ""
    changes: str = ""
    ready: str = "true"
    erase: Erase | None = None
    batch: int = BATCH
    secret: tuple[str, ...] = ()
    exported: str = "to_jsonb(r)"

    @property
    def erasable(self) -> bool:
        return bool(self.fate is Fate.REMOVED or self.changes or self.erase)

    async def people(self, db: Connection, person: Person) -> list[Person]:
        """The person with each `part`."""
        if self.parts is None:
            return [person]
        return [replace(person, part=part) for part in await self.parts(db, self.table, person)]

    async def erase_batch(
        self, tx: Transaction, person: Person, after: Key | None
    ) -> tuple[int, Key | None]:
        """Erases some rows after a key. Returns their number, and the key of the last one; None: no
        more. The next batch begins there, so it does not read what others left again."""
        params = {**person.params, **key_params(after), "limit": self.batch}
        columns = "r.*" if self.erase else ", ".join(f"r.{name}" for name in self.key)
        lock = "" if self.through else " for update of r"
        found = self.select(columns, after, self.ready) + lock
        if not self.erase:
            same = " and ".join(f"r.{name} = found.{name}" for name in self.key)
            change = (
                f"delete from {self.table} r using found where {same}"
                if self.fate is Fate.REMOVED
                else f"update {self.table} r set {self.changes} from found where {same}"
            )
            found = (
                f"with found as materialized ({found}), changed as ({change})"
                f" select {', '.join(self.key)} from found"
            )
        rows = await (await tx.execute(found.encode(), params)).fetchall()
        count = await self.erase(tx, rows) if self.erase else len(rows)
        return count, self._key_of(rows[-1]) if rows else None

    async def exist(self, db: Connection, person: Person) -> bool:
        """Whether rows name the person."""
        query = f"select exists ({self.select('', None)}) as found"
        rows = await db.execute(query.encode(), {**person.params, "limit": 1})
        row = await rows.fetchone()
        return bool(row and row["found"])

    async def page(
        self, db: Connection, person: Person, after: Key | None, limit: int
    ) -> tuple[list[str], Key | None]:
        """Rows of the person after a key, as JSON, and the key of the last one. None: no more."""
        columns = ", ".join(f"r.{name}" for name in self.key)
        exported = f"({self.exported} - %(secret)s::text[])::text as exported"
        query = self.select(f"{columns}, {exported}", after)
        params = {**person.params, **key_params(after), "secret": [*self.secret], "limit": limit}
        found = await (await db.execute(query.encode(), params)).fetchall()
        last = self._key_of(found[-1]) if len(found) == limit else None
        return [row["exported"] for row in found], last

    def select(self, columns: str, after: Key | None, condition: str = "true") -> str:
        """SQL of the first rows after a key, see `key_params`."""
        alias = "k" if self.through else "r"
        source = f"{self.table} r"
        if self.through:
            same = " and ".join(f"t.{name} = k.{name}" for name in self.key)
            # With `offset`, PostgreSQL looks up each row, and does not hash the whole table.
            row = f"select t.* from {self.table} t where {same} offset 0"
            source = f"{self.through} k cross join lateral ({row}) r"
        key = ", ".join(f"{alias}.{name}" for name in self.key)
        if after:
            values = ", ".join(f"%({name})s" for name in key_params(after))
            # The first column alone leaves out the partitions before.
            condition += f" and {alias}.{self.key[0]} >= %(key0)s and ({key}) > ({values})"
        return (
            f"select {columns} from {source} where ({self.of}) and ({condition})"
            f" order by {key} limit %(limit)s"
        )

    def _key_of(self, row: Row) -> Key:
        return [row[name] for name in self.key]


def key_params(after: Key | None) -> dict[str, Any]:
    return {f"key{number}": value for number, value in enumerate(after or ())}


@cache
def personal_rows() -> tuple[PersonalRows, ...]:
    """The rows of all packages, in the order in which they are erased."""
    found = [
        rows for module in find_modules("personal_data") for rows in getattr(module, "ROWS", ())
    ]
    return tuple(sorted(found, key=lambda rows: rows.step))


# The condition of rows whose `parts` are `organizations_of`.
OWNED = "(r.org_id, r.owner_type, r.owner_id) = (%(part)s, %(type)s, %(id)s)"
OWNER_COLUMNS = ("owner_type", "owner_id")
# In SQL, the name of a `Principal` that is stored as JSON.
PRINCIPAL = """
    coalesce({column} ->> 'type', 'user') || ':'
    || coalesce(nullif({column} ->> 'issuer', '') || '|', '') || ({column} ->> 'subject')
"""
TO_PSEUDONYM = f"owner_type = '{ERASED}', owner_id = %(pseudonym)s"

# Walks from organization to organization in the index of owners.
ORGANIZATIONS = """
    with recursive organizations (org_id) as (
        (select min(org_id) from {table})
        union all
        select (select min(t.org_id) from {table} t where t.org_id > o.org_id)
        from organizations o where o.org_id is not null
    )
    select o.org_id from organizations o
    where o.org_id is not null and exists (
        select from {table} r
        where (r.org_id, r.owner_type, r.owner_id) = (o.org_id, %s, %s)
    )
"""


async def organizations_of(db: Connection, table: str, person: Person) -> list[str]:
    """The organizations in which a person owns rows of a table; '' for none."""
    rows = await db.execute(ORGANIZATIONS.format(table=table).encode(), (person.type, person.id))
    return [row["org_id"] async for row in rows]
