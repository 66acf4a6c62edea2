"""What a sink promises. A sink brings events to one broker.

The relay calls `publish` with batches in the order of their cursors, one batch after the other, and
again with the same batch until it succeeds. So the broker gets every event at least once, and those
of one media in their order; consumers recognize repeated ones by their ids. The conformance suite
(`events/conformance.py`) tests it.
"""

from collections.abc import Sequence
from typing import Protocol

from media_service.events.model import RelayedEvent

# The most events of a batch.
BATCH = 500


class SinkUnavailable(Exception):
    """The broker cannot be reached, or has not confirmed the events. The message says why, without
    a password."""


class Sink(Protocol):
    """`publish` is cancelled if it takes longer than the limit of the relay."""

    @property
    def name(self) -> str:
        """The key of its place in the order of events: it must not change."""

    async def publish(self, events: Sequence[RelayedEvent]) -> None:
        """Returns when the broker has all of these events, in this order. A batch may have been
        published before, as a whole or in part. Raises SinkUnavailable."""

    async def close(self) -> None: ...
