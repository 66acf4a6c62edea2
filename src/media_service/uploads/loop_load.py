"""Notices that the event loop cannot keep up, and slows down what keeps it busy.

Reading a message costs the same for few bytes as for many. So thousands of streams of small
messages can keep the loop busy without filling any queue that would hold them back, and every other
call waits as often as it needs the loop.
"""

import asyncio
from contextlib import suppress
from time import monotonic
from typing import Self

from media_service.uploads.model import KIB

SAMPLE_SECONDS = 0.05
# If callbacks wait for so long, small messages are slowed down.
SLOW_SECONDS = 0.015
# If all callbacks of a second wait for so long, the process is overloaded.
OVERLOADED_SECONDS = 0.1
SUSTAINED_SECONDS = 1.0
# Messages below this size are small.
SMALL_MESSAGE = 16 * KIB
# The small messages that a loop reads in a second when they are slowed down the most.
MESSAGES_PER_SECOND = 1500


class LoopLoad:
    """Measures within the context how long callbacks wait. `pressure` is 0 without load, and 1 if
    small messages must be read as slowly as possible."""

    def __init__(self) -> None:
        self.pressure = 0.0
        self._overloaded_since: float | None = None
        self._measuring: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._measuring = asyncio.create_task(self._measure(), name="loop-load")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._measuring is not None:
            self._measuring.cancel()
            with suppress(asyncio.CancelledError):
                await self._measuring

    @property
    def overloaded(self) -> bool:
        since = self._overloaded_since
        return since is not None and monotonic() - since >= SUSTAINED_SECONDS

    async def _measure(self) -> None:
        while True:
            start = monotonic()
            await asyncio.sleep(SAMPLE_SECONDS)
            self.add(monotonic() - start - SAMPLE_SECONDS)

    def add(self, waited: float) -> None:
        """Adds a sample: how long a callback waited, in seconds."""
        if waited > SLOW_SECONDS:
            self.pressure = min(self.pressure * 1.5 + 0.05, 1.0)
        else:
            self.pressure = self.pressure * 0.9 if self.pressure > 0.01 else 0.0
        if waited <= OVERLOADED_SECONDS:
            self._overloaded_since = None
        elif self._overloaded_since is None:
            self._overloaded_since = monotonic()

    def delay(self, own: int, owners: int) -> float:
        """How many seconds a stream waits before it reads its next small message. `own`: the
        streams of its owner. `owners`: those who have streams. Each owner gets an equal share of
        the messages, however many streams it has."""
        return self.pressure * own * owners / MESSAGES_PER_SECOND
