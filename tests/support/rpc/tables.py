"""What is in the tables of a service."""

from tests.support.rpc.server import Running


async def tables_with(service: Running, *texts: str) -> set[str]:
    """The tables that have one of these texts in any column."""
    async with service.database() as db:
        cursor = await db.execute(
            "select relname from pg_class where relnamespace = 'public'::regnamespace"
            " and relkind in ('r', 'p') and not relispartition"
        )
        found = set()
        for (name,) in await cursor.fetchall():
            query = f"select from {name} t where t::text like any(%s) limit 1"
            rows = await db.execute(query.encode(), ([f"%{text}%" for text in texts],))
            if rows.rowcount:
                found.add(str(name))
    return found
