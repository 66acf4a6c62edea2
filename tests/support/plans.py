"""What PostgreSQL reads to run the queries of the service."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from media_service.db.transaction import Connection

Node = Mapping[str, Any]


class Explaining:
    """A connection that explains each query, and then runs it."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self.plans: list[Node] = []

    @property
    def connection(self) -> Connection:
        return cast(Connection, self)

    async def execute(self, query: bytes, params: Sequence[Any] = ()) -> Any:
        explained = b"explain (analyze, timing off, format json) " + query
        row = await (await self._db.execute(explained, params)).fetchone()
        assert row
        found = row["QUERY PLAN"]
        (top,) = json.loads(found) if isinstance(found, str) else found
        self.plans.append(top["Plan"])
        return await self._db.execute(query, params)


def nodes(plan: Node) -> Iterator[Node]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def scanned(plan: Node) -> set[str]:
    """The tables that are read from the first row to the last."""
    return {
        node["Relation Name"]
        for node in nodes(plan)
        if node["Node Type"] == "Seq Scan" and node["Actual Loops"]
    }


def rows_read(plan: Node, table: str) -> int:
    """How many rows of the table, or entries of its ordered indexes, are looked at."""
    return sum(
        round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
        for node in nodes(plan)
        if node.get("Relation Name") == table
    )
