"""Notifications between processes, which may be of different versions."""

import pytest

from media_service.db.database import Database
from media_service.db.notifications import MediaChanged, channel
from tests.support.notifications import heard


@pytest.mark.parametrize("payload", ['{"media_id": "a", "color": "red"}', "{}", "[1]", "5", "a"])
async def test_events_of_other_versions_do_not_end_the_delivery(
    database: Database, payload: str
) -> None:
    async with heard(database, MediaChanged, "a") as found:
        async with database.connection() as db:
            await db.execute("select pg_notify(%s, %s)", (channel(MediaChanged), payload))
        assert await found.all() == ([MediaChanged("a")] if "color" in payload else [])
