"""The tables that name people.

A package whose table names people has a module `personal_data` with `ROWS`. EraseUser and
ExportUser find them there. tests/database/test_personal_data.py fails for a column with text that
is in no `ROWS` and that it does not list as one that names nobody.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cache
from typing import Any

from media_service.db.transaction import Connection, Transaction
from media_service.discovery import find_modules

# The type of the owner of what stays. Its id is the pseudonym of the person.
ERASED = "erased"
BATCH = 500

Params = Mapping[str, Any]
Erase = Callable[[Transaction, Params], Awaitable[int]]


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
    """A user, or a service account that belongs to one. `org_id`: where they own something.
    `names`: of the user and all of their service accounts, as grantees. `pseudonym`: replaces the
    name in rows that stay."""

    type: str
    id: str
    names: Sequence[str]
    pseudonym: str = ""
    org_id: str = ""

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of `PersonalRows.of` and `PersonalRows.changes`."""
        return {
            "type": self.type,
            "id": self.id,
            "org": self.org_id,
            "name": f"{self.type}:{self.id}",
            "names": list(self.names),
            "pseudonym": self.pseudonym,
        }


@dataclass(frozen=True, slots=True)
class PersonalRows:
    """Rows `r` of a table that name a person.

    `columns` name people. `of` is an SQL condition for the rows of a person; see `Person.params`.
    With `by_owner`, it is evaluated for each organization in which the person owns rows. `key` are
    columns that identify a row, in the order of an index that supports `of`. `changes` is the SET
    clause that pseudonymizes a row. `ready` is a condition for rows that can be erased now; others
    are erased by a later pass. `erase` replaces the statement that erases `batch` rows. Without
    `erase` and `changes`, PSEUDONYMIZED rows stay as they are, because they name the person only
    through another table. `secret` are columns that no export has. `exported` is the row as JSON.
    """

    table: str
    columns: tuple[str, ...]
    of: str
    key: tuple[str, ...]
    step: Step
    fate: Fate = Fate.REMOVED
    by_owner: bool = False
    changes: str = ""
    ready: str = "true"
    erase: Erase | None = None
    batch: int = BATCH
    secret: tuple[str, ...] = ()
    exported: str = "to_jsonb(r)"

    @property
    def erasable(self) -> bool:
        return bool(self.fate is Fate.REMOVED or self.changes or self.erase)

    async def erase_batch(self, tx: Transaction, person: Person) -> int:
        """Erases some rows. Returns their number, 0 if there are no more."""
        params = {**person.params, "limit": self.batch}
        if self.erase:
            return await self.erase(tx, params)
        key = ", ".join(self.key)
        change = (
            f"delete from {self.table}"
            if self.fate is Fate.REMOVED
            else f"update {self.table} set {self.changes}"
        )
        rows = await tx.execute(
            f"{change} where ({key}) in ("
            f" select {key} from {self.table} r where ({self.of}) and ({self.ready})"
            " limit %(limit)s for update of r)".encode(),
            params,
        )
        return rows.rowcount

    async def count(self, db: Connection, person: Person) -> int:
        """How many rows name the person."""
        rows = await db.execute(
            f"select count(*) as number from {self.table} r where {self.of}".encode(),
            person.params,
        )
        row = await rows.fetchone()
        return int(row["number"]) if row else 0

    async def page(
        self, db: Connection, person: Person, after: Sequence[Any] | None, limit: int
    ) -> tuple[list[str], Sequence[Any] | None]:
        """Rows of the person after a key, as JSON, and the key of the last one. None: no more."""
        key = ", ".join(f"r.{name}" for name in self.key)
        named = {f"key{n}": value for n, value in enumerate(after or ())}
        position = f"({key}) > ({', '.join(f'%({name})s' for name in named)})" if after else "true"
        rows = await db.execute(
            f"select {key}, ({self.exported} - %(secret)s::text[])::text as exported"
            f" from {self.table} r where ({self.of}) and {position}"
            f" order by {key} limit %(limit)s".encode(),
            {**person.params, **named, "secret": list(self.secret), "limit": limit},
        )
        found = await rows.fetchall()
        last = [found[-1][name] for name in self.key] if len(found) == limit else None
        return [row["exported"] for row in found], last


@cache
def personal_rows() -> tuple[PersonalRows, ...]:
    """The rows of all packages, in the order in which they are erased."""
    found = [
        rows for module in find_modules("personal_data") for rows in getattr(module, "ROWS", ())
    ]
    return tuple(sorted(found, key=lambda rows: rows.step))


# The condition of `by_owner` rows.
OWNED = "(r.org_id, r.owner_type, r.owner_id) = (%(org)s, %(type)s, %(id)s)"
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
