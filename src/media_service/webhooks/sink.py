"""The sink of webhooks. It only adds rows, so that a slow receiver delays nobody else."""

from collections.abc import Sequence

from media_service.db.database import Database
from media_service.db.notifications import WebhookDue
from media_service.errors import Unavailable
from media_service.events.model import RelayedEvent
from media_service.events.sink import SinkUnavailable
from media_service.webhooks.queries import due as queries

# Events of one statement. Each may match hundreds of webhooks.
STATEMENT = 100


class WebhookSink:
    """Implements `Sink`. `source`: of the events."""

    name = "webhooks"

    def __init__(self, database: Database, source: str) -> None:
        self._database = database
        self._source = source

    async def publish(self, events: Sequence[RelayedEvent]) -> None:
        try:
            async with self._database.connection() as db:
                due = 0
                for start in range(0, len(events), STATEMENT):
                    some = events[start : start + STATEMENT]
                    due += await queries.add(db, some, self._source)
                if due:
                    db.notify(WebhookDue())
        except Unavailable as error:
            raise SinkUnavailable(str(error)) from error

    async def close(self) -> None:
        """There is nothing to close."""
