"""Merges repeated calls into one entry, so that the ranges of a player do not flood the log."""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from media_service.db.audit_entry import AuditEntry, Category
from media_service.ids import new_id

WINDOW = timedelta(minutes=10)
# The maximum number of windows in memory. Beyond, the oldest one ends early.
MAX_WINDOWS = 50_000


@dataclass
class Window:
    """What repeats an entry that was written at `start`."""

    entry: AuditEntry
    start: datetime
    requests: int = 0
    bytes: int = 0


class Repeats:
    """The first call of each kind is an entry of its own. Its repetitions in the next ten minutes
    are one more entry, at the end of that time."""

    def __init__(self) -> None:
        self._windows: OrderedDict[Hashable, Window] = OrderedDict()  # by start

    def merge(self, entry: AuditEntry, now: datetime) -> bool:
        """Returns False if the entry must be written by itself."""
        if not merges(entry):
            return False
        window = self._windows.get(key := key_of(entry))
        if window is None:
            self._windows[key] = Window(entry, now)
            return False
        window.requests += entry.requests
        window.bytes += entry.bytes
        return True

    def ended(self, now: datetime | None) -> Iterator[AuditEntry]:
        """Takes the entries of the windows that are over; of all if `now` is None."""
        while self._windows:
            key, window = next(iter(self._windows.items()))
            over = now is None or now - window.start >= WINDOW
            if not over and len(self._windows) <= MAX_WINDOWS:
                return
            del self._windows[key]
            if window.requests:
                yield replace(
                    window.entry,
                    counted=False,
                    requests=window.requests,
                    bytes=window.bytes,
                    entry_id=new_id(),
                )


def merges(entry: AuditEntry) -> bool:
    if entry.category is Category.DOWNLOAD:
        return not entry.counted
    return entry.category in {Category.VIEW, Category.DENIAL} or entry.action == "uploads.write"


def key_of(entry: AuditEntry) -> Hashable:
    origin = entry.origin
    return (
        origin.actor_type,
        origin.actor_id,
        origin.credential_id,
        origin.org_id,
        origin.address,
        entry.category,
        entry.action,
        entry.media_id,
        entry.version,
        entry.resource_id,
        entry.outcome,
        entry.counted,
    )
