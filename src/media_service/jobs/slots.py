"""The slots of a worker, and which jobs hold them."""

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

from media_service.jobs.attempt import Attempt
from media_service.jobs.model import Claim

# A light job that takes longer than this becomes heavy.
LIGHT_SECONDS = 5.0


@dataclass
class HeldSlot:
    """A slot that a job holds."""

    claim: Claim
    attempt: Attempt
    start: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start


class Slots:
    """The slots of a worker. If there are several, one of them is for light jobs only. A job that
    turned out to be heavy may hold it, but not while a light job waits for it."""

    def __init__(self, total: int, light_seconds: float = LIGHT_SECONDS) -> None:
        self._total = total
        self._light_seconds = light_seconds
        self._held: list[HeldSlot] = []

    def __iter__(self) -> Iterator[HeldSlot]:
        """The slots that are held now. Some may be removed before the end of the iteration."""
        return iter(tuple(self._held))

    def add(self, slot: HeldSlot) -> None:
        self._held.append(slot)

    def remove(self, slot: HeldSlot) -> None:
        self._held.remove(slot)

    @property
    def claims(self) -> Collection[Claim]:
        return [slot.claim for slot in self._held]

    @property
    def full(self) -> bool:
        return len(self._held) >= self._total

    @property
    def takes_heavy(self) -> bool:
        """Whether another heavy job may start."""
        return len(self._heavy) < self._heavy_slots

    @property
    def overdue(self) -> Collection[HeldSlot]:
        """The light jobs that take too long to be light."""
        return [
            slot
            for slot in self._held
            if not slot.claim.heavy and slot.seconds >= self._light_seconds
        ]

    @property
    def surplus(self) -> HeldSlot | None:
        """The job to stop if a light job needs its slot: the last of too many heavy ones. Jobs of
        the service itself are not stopped."""
        if len(self._heavy) <= self._heavy_slots:
            return None
        return next((slot for slot in reversed(self._heavy) if slot.claim.owner), None)

    def make_heavy(self, slot: HeldSlot) -> None:
        slot.claim = replace(slot.claim, heavy=True)

    @property
    def _heavy_slots(self) -> int:
        return max(1, self._total - 1)

    @property
    def _heavy(self) -> list[HeldSlot]:
        """In the order in which they started."""
        return [slot for slot in self._held if slot.claim.heavy]
