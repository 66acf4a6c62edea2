"""Rows that are due, in batches: selects them so that the backlog of one owner does not delay what
is due of others, and deletes those that have expired."""

from dataclasses import dataclass

from psycopg.sql import SQL, Identifier

from media_service.db.transaction import Connection


@dataclass(frozen=True, slots=True)
class Due:
    """Rows of a table that are due once the time in the column `time` has passed. `waiting`: the
    condition of two indexes, one on `time`, one on the owner and `time`."""

    table: str
    key: str
    time: str
    waiting: str


OLDEST = SQL("""
    select {key}::text as key from {table}
    where {waiting} and {time} <= now()
    order by {time} limit %(limit)s for update skip locked
""")
# Walks from owner to owner in an index, so that its cost does not depend on the number of rows.
OF_EACH_OWNER = SQL("""
    with recursive owners as (
        select 0 as step, %(org)s::text as org_id, %(type)s::text as owner_type,
               %(id)s::text as owner_id
        union all
        select o.step + 1, next.*
        from owners o cross join lateral (
            select org_id, owner_type, owner_id from {table}
            where {waiting}
              and (org_id, owner_type, owner_id) > (o.org_id, o.owner_type, o.owner_id)
            order by org_id, owner_type, owner_id limit 1
        ) next
        where o.step < %(limit)s
    )
    select o.org_id, o.owner_type, o.owner_id, due.key
    from owners o left join lateral (
        select {key}::text as key from {table} t
        where {waiting} and {time} <= now() and t.org_id = o.org_id
          and t.owner_type = o.owner_type and t.owner_id = o.owner_id
        order by {time} limit 1 for update skip locked
    ) due on true
    where o.step > 0 order by o.step
""")
FIRST = ("", "", "")
DELETE_EXPIRED = SQL("""
    delete from {table} where {key} in (
        select {key} from {table} where expire_time < now()
        order by expire_time limit %(limit)s for update skip locked
    )
""")


class DueBatches:
    """The batches of one run. They alternate: the oldest rows of all, and one row of each of the
    next owners, in turn."""

    def __init__(self, due: Due, size: int) -> None:
        self._names = {
            "table": Identifier(due.table),
            "key": Identifier(due.key),
            "time": Identifier(due.time),
            "waiting": SQL(due.waiting),
        }
        self._size = size
        self._owner = FIRST
        self._by_owner = False
        # Whether the last batch took everything that no other process held.
        self.done = False

    async def take(self, db: Connection) -> list[str]:
        """Locks and returns the keys of the next batch. It may be empty before the run is done."""
        keys = await (self._of_each_owner(db) if self._by_owner else self._oldest(db))
        self._by_owner = not self._by_owner
        return keys

    async def _oldest(self, db: Connection) -> list[str]:
        rows = await db.execute(OLDEST.format(**self._names), {"limit": self._size})
        keys = [row["key"] async for row in rows]
        self.done = len(keys) < self._size
        return keys

    async def _of_each_owner(self, db: Connection) -> list[str]:
        org, kind, name = self._owner
        rows = await db.execute(
            OF_EACH_OWNER.format(**self._names),
            {"org": org, "type": kind, "id": name, "limit": self._size},
        )
        found = await rows.fetchall()
        last = found[-1] if len(found) == self._size else None
        self._owner = (last["org_id"], last["owner_type"], last["owner_id"]) if last else FIRST
        return [row["key"] for row in found if row["key"] is not None]


async def delete_expired(db: Connection, table: str, key: str, limit: int) -> int:
    """Deletes up to `limit` rows whose `expire_time` has passed, the oldest first. Skips those that
    other transactions hold. Returns their number. `key` is the column of the primary key."""
    done = await db.execute(
        DELETE_EXPIRED.format(table=Identifier(table), key=Identifier(key)), {"limit": limit}
    )
    return done.rowcount
