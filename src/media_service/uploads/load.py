"""Notices that a process cannot keep up with slow uploads, slows them down, and admits no more.

Reading a message and recording it cost the same for few bytes as for many. So thousands of streams
of small messages can keep the event loop, the disk and the database busy without filling any queue
that would hold them back. Then every other call waits as often as it needs the loop, and the bytes
that arrived are recorded late.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Self

from media_service.uploads.model import KIB

log = logging.getLogger(__name__)

SAMPLE_SECONDS = 0.05
# If callbacks wait for so long, small messages are slowed down.
SLOW_SECONDS = 0.015
# Messages below this size are small.
SMALL_MESSAGE = 16 * KIB
# The small messages that a process reads in a second when they are slowed down the most.
MESSAGES_PER_SECOND = 1500
# No stream waits longer than this, because it must not seem stalled.
MOST_DELAY_SECONDS = 5.0
# A stream that is slowed down waits for so many messages at once. They share a checkpoint.
MESSAGES_PER_PAUSE = 4

# If callbacks wait for LATE_SECONDS for SUSTAINED_SECONDS without a pause, the process is
# overloaded. A single long wait is none: the process or the machine was stopped. The burst of ten
# thousand uploads that start at once is none either.
LATE_SECONDS = 0.1
SUSTAINED_SECONDS = 2.0
# So few streams are not the cause: something else keeps the machine busy.
FEW_STREAMS = 16
# It is also overloaded if the bytes of slow streams are not recorded this long after they arrived,
# or if such streams are slowed down by this pressure, on average, and send this share of the
# messages that it reads then. Both must last for a while, and it stays overloaded until they have
# ended for a while.
BEHIND_SECONDS = 1.7
BUSY_SHARE = 0.4
BUSY_PRESSURE = 0.3
AVERAGE_SECONDS = 1.0
SOON_SECONDS = 1.0
# If slow streams keep the process overloaded for so long although no more are admitted, this share
# of them ends each second.
SHED_SECONDS = 2.0
SHED_PER_SECOND = 0.1


class Lasting:
    """A condition that begins when it has held for `begin` seconds, and ends when it has not held
    for `end` seconds."""

    def __init__(self, begin: float, end: float) -> None:
        self.on = False
        self._begin, self._end = begin, end
        self._changing_since: float | None = None

    def add(self, now: float, *, holds: bool) -> bool:
        """Adds a sample. Returns whether the condition is on."""
        if holds == self.on:
            self._changing_since = None
        elif self._changing_since is None:
            self._changing_since = now
        needed = self._end if self.on else self._begin
        if self._changing_since is not None and now - self._changing_since >= needed:
            self.on, self._changing_since = holds, None
        return self.on


class UploadLoad:
    """Measures within the context how far the process is behind.

    `pressure` is 0 without load, and 1 if small messages must be read as slowly as possible.
    `overloaded` tells why no more uploads should be admitted; empty if they should.
    """

    def __init__(self) -> None:
        self.pressure = 0.0
        self.overloaded = ""
        self._messages = 0
        self._message_rate = 0.0
        self._average_pressure = 0.0
        # When the bytes arrived that are being recorded. A dictionary serves as an ordered set.
        self._recording: dict[object, float] = {}
        self._late = Lasting(SUSTAINED_SECONDS, 0.0)
        self._behind = Lasting(SOON_SECONDS, SOON_SECONDS)
        self._busy = Lasting(SOON_SECONDS, SOON_SECONDS)
        self._shedding = Lasting(SHED_SECONDS, 0.0)
        self._last_shed = 0.0
        self._measuring: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._measuring = asyncio.create_task(self._measure(), name="upload-load")
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

    @contextmanager
    def recording(self, arrival: float) -> Iterator[None]:
        """The context in which a slow stream makes bytes durable. `arrival`: when the oldest of
        them arrived."""
        key = object()
        self._recording[key] = arrival
        try:
            yield
        finally:
            del self._recording[key]

    def count_message(self) -> None:
        """Counts a small message that was read."""
        self._messages += 1

    def add(self, waited: float) -> None:
        """Adds a sample: how long a callback waited, in seconds."""
        if waited > SLOW_SECONDS:
            self.pressure = min(self.pressure * 1.5 + 0.05, 1.0)
        else:
            self.pressure = self.pressure * 0.9 if self.pressure > 0.01 else 0.0
        now = monotonic()
        rate, self._messages = self._messages / (SAMPLE_SECONDS + waited), 0
        weight = min((SAMPLE_SECONDS + waited) / AVERAGE_SECONDS, 1.0)
        self._message_rate += (rate - self._message_rate) * weight
        self._average_pressure += (self.pressure - self._average_pressure) * weight
        oldest = now - next(iter(self._recording.values()), now)
        many = self._message_rate >= BUSY_SHARE * MESSAGES_PER_SECOND
        slowed = many and self._average_pressure >= BUSY_PRESSURE
        causes = {
            "the event loop is late": self._late.add(now, holds=waited > LATE_SECONDS),
            "bytes are recorded late": self._behind.add(now, holds=oldest > BEHIND_SECONDS),
            "slow uploads send too many messages": self._busy.add(now, holds=slowed),
        }
        self._shedding.add(now, holds=self._behind.on or self._busy.on)
        overloaded = ", and ".join(cause for cause, on in causes.items() if on)
        if overloaded != self.overloaded:
            log.warning("%s", overloaded or "no longer overloaded by uploads")
        self.overloaded = overloaded

    def refuses(self, streams: int) -> bool:
        """Whether to admit no stream in addition to `streams`."""
        if streams < FEW_STREAMS:
            return self._behind.on or self._busy.on
        return bool(self.overloaded)

    def sheds(self, streams: int) -> bool:
        """Whether to end one of `streams` slow streams now. A call that returns True counts as the
        end of one."""
        if not self._shedding.on:
            return False
        now = monotonic()
        if (now - self._last_shed) * streams * SHED_PER_SECOND < 1:
            return False
        self._last_shed = now
        return True

    def delay(self, own: int, owners: int) -> float:
        """How many seconds a stream needs for each small message. `own`: the streams of its owner.
        `owners`: those who have streams. Each owner gets an equal share of the messages, however
        many streams it has."""
        return self.pressure * own * owners / MESSAGES_PER_SECOND


class Pace:
    """Slows down the small messages of one stream.

    A message takes the time that `UploadLoad.delay` tells. A stream that sends faster pauses, but
    only after several messages, so that those that wait meanwhile are read together.
    """

    def __init__(self) -> None:
        self._paid_until = 0.0

    def pause(self, now: float, delay: float) -> float:
        """How many seconds to wait before the next message, after one that takes `delay`."""
        self._paid_until = max(self._paid_until, now) + delay
        ahead = self._paid_until - now
        return min(ahead, MOST_DELAY_SECONDS) if ahead > delay * (MESSAGES_PER_PAUSE - 1) else 0.0
