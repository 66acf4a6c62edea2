"""The notifications that subscribers receive."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic

from media_service.db.database import Database
from media_service.db.events import E, MediaChanged


class Heard(Generic[E]):
    """Received events, in order."""

    def __init__(self, database: Database) -> None:
        self.events: list[E] = []
        self._database = database

    async def all(self) -> list[E]:
        """All events received before a marker event that is emitted now."""
        end = asyncio.Event()
        with self._database.listen(MediaChanged, "end", lambda _: end.set()):
            async with self._database.connection() as db:
                db.emit(MediaChanged("end"))
            async with asyncio.timeout(20):
                await end.wait()
        return self.events


@contextmanager
def heard(database: Database, kind: type[E], key: str) -> Iterator[Heard[E]]:
    found: Heard[E] = Heard(database)
    with database.listen(kind, key, found.events.append):
        yield found
