"""What subscribers hear of a transaction."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from media_service.db.database import Database
from media_service.db.events import E, Event, MediaChanged


class Heard:
    """Events, in the order in which they came."""

    def __init__(self, database: Database) -> None:
        self.events: list[Event] = []
        self._database = database

    async def all(self) -> list[Event]:
        """What came before an event that is emitted now."""
        end = asyncio.Event()
        with self._database.listen(MediaChanged, "end", lambda _: end.set()):
            async with self._database.connection() as db:
                db.emit(MediaChanged("end"))
            async with asyncio.timeout(20):
                await end.wait()
        return self.events


@contextmanager
def heard(database: Database, kind: type[E], key: str) -> Iterator[Heard]:
    found = Heard(database)
    with database.listen(kind, key, found.events.append):
        yield found
