"""How far events are: what waits for the relay, and for each sink."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from media_service.events.model import Cursor

# From here on, the relay writes a lag to the log.
LATE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """`waiting`: the events that it does not have yet. The oldest of them is of `since`.
    `failing_since`, `attempts` and `error`: of the delivery that is being retried. `seen_time`:
    when a worker last had it in its settings."""

    name: str
    cursor: Cursor
    waiting: int
    since: datetime | None
    failing_since: datetime | None
    attempts: int
    error: str
    seen_time: datetime


@dataclass(frozen=True, slots=True)
class Status:
    """`waiting`: the events that wait for the relay, counted up to 10 000. The oldest of them is of
    `since`. `oldest`: behind the last event that was removed."""

    time: datetime
    newest: Cursor
    oldest: Cursor
    waiting: int
    since: datetime | None
    sinks: Sequence[SinkStatus]

    def lag(self, since: datetime | None) -> timedelta:
        """How long the oldest event has waited that is of `since`."""
        return max(self.time - since, timedelta()) if since else timedelta()

    def lags(self) -> list[str]:
        """What is late, in words."""
        places = [("the relay", self.waiting, self.since)]
        places += [(sink.name, sink.waiting, sink.since) for sink in self.sinks]
        return [
            f"{count} events wait for {name}, since {since:%Y-%m-%d %H:%M:%S}"
            for name, count, since in places
            if since and self.lag(since) > LATE
        ]
