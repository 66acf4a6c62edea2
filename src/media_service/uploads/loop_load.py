"""Notices that the event loop cannot keep up, and slows down what keeps it busy.

Reading a message costs the same for few bytes as for many. So thousands of streams of small
messages can keep the loop busy without filling any queue that would hold them back, and every other
call waits as often as it needs the loop.
"""

import asyncio
import logging
from contextlib import suppress
from time import monotonic
from typing import Self

from media_service.uploads.model import KIB

log = logging.getLogger(__name__)

SAMPLE_SECONDS = 0.05
# If callbacks wait for so long, small messages are slowed down.
SLOW_SECONDS = 0.015
# If callbacks wait for OVERLOADED_SECONDS for SUSTAINED_SECONDS without a pause, the process is
# overloaded. A single long wait is none: the process or the machine was stopped. The burst of ten
# thousand uploads that start at once is none either.
OVERLOADED_SECONDS = 0.1
SUSTAINED_SECONDS = 2.0
# Messages below this size are small.
SMALL_MESSAGE = 16 * KIB
# The small messages that a loop reads in a second when they are slowed down the most.
MESSAGES_PER_SECOND = 1500
# No stream waits longer than this, because it must not seem stalled.
MOST_DELAY_SECONDS = 5.0


class LoopLoad:
    """Measures within the context how long callbacks wait. `pressure` is 0 without load, and 1 if
    small messages must be read as slowly as possible."""

    def __init__(self) -> None:
        self.pressure = 0.0
        self.overloaded = False
        self._slow_since: float | None = None
        self._measuring: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._measuring = asyncio.create_task(self._measure(), name="loop-load")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._measuring is not None:
            self._measuring.cancel()
            with suppress(asyncio.CancelledError):
                await self._measuring

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
        now = monotonic()
        if waited <= OVERLOADED_SECONDS:
            self._slow_since = None
        elif self._slow_since is None:
            self._slow_since = now
        slow_for = 0.0 if self._slow_since is None else now - self._slow_since
        overloaded = slow_for >= SUSTAINED_SECONDS
        if overloaded != self.overloaded:
            log.warning("the event loop is %s", "overloaded" if overloaded else "in time again")
        self.overloaded = overloaded

    def delay(self, own: int, owners: int) -> float:
        """How many seconds a stream waits before it reads its next small message. `own`: the
        streams of its owner. `owners`: those who have streams. Each owner gets an equal share of
        the messages, however many streams it has."""
        return min(self.pressure * own * owners / MESSAGES_PER_SECOND, MOST_DELAY_SECONDS)
