"""The notifications that subscribers receive."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Generic

from media_service.db.database import Database
from media_service.db.notifications import E, MediaChanged


class Heard(Generic[E]):
    """Received notifications, in order."""

    def __init__(self, database: Database) -> None:
        self.notifications: list[E] = []
        self._database = database

    async def all(self) -> list[E]:
        """All notifications sent so far."""
        await delivered(self._database)
        return self.notifications


async def delivered(database: Database) -> None:
    """Waits until all notifications sent so far are delivered: until a marker arrives."""
    end = asyncio.Event()
    with database.listen(MediaChanged, "end", lambda _: end.set()):
        async with database.connection() as db:
            db.notify(MediaChanged("end"))
        async with asyncio.timeout(20):
            await end.wait()


@asynccontextmanager
async def heard(database: Database, kind: type[E], key: str) -> AsyncIterator[Heard[E]]:
    """The notifications that are sent in the context. Those sent before it are delivered first."""
    await delivered(database)
    found: Heard[E] = Heard(database)
    with database.listen(kind, key, found.notifications.append):
        yield found
