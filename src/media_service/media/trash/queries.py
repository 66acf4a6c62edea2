"""SQL of the trash: deleted media that are not purged."""

from collections.abc import Sequence

from media_service.access.lists import Key, page_of
from media_service.access.policy import Condition
from media_service.access.queries import Scope
from media_service.db.transaction import Connection
from media_service.media.queries import TABLE

# In the order of the indexes of deleted media.
OLDEST = (
    Key("delete_time", descending=False, missing="'-infinity'::timestamptz"),
    Key("media_id", descending=False),
)


async def select(db: Connection, scope: Scope, where: Condition, limit: int) -> list[str]:
    """The ids of deleted media in scope that are not due to be purged, those first that were
    deleted first."""
    waiting = Condition("m.delete_time is not null and m.purge_time > now()", ())
    page = page_of(TABLE, scope, [waiting, where], OLDEST, limit)
    query = f"with {page.sql} select id::text as media_id from page"
    rows = await db.execute(query.encode(), page.params)
    return [row["media_id"] async for row in rows]


async def lock(db: Connection, media_ids: Sequence[str]) -> list[str]:
    """Locks those of these media that are still deleted, and that nobody is changing."""
    rows = await db.execute(
        "select media_id::text as media_id from media"
        " where media_id = any(%s::uuid[]) and delete_time is not null"
        " order by media_id for update skip locked",
        (list(media_ids),),
    )
    return [row["media_id"] async for row in rows]


async def make_due(db: Connection, media_ids: Sequence[str]) -> None:
    """Lets workers purge deleted media now."""
    await db.execute(
        "update media set purge_time = now(), revision = revision + 1, update_time = now()"
        " where media_id = any(%s::uuid[])",
        (list(media_ids),),
    )
