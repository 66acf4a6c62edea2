"""Admission control: limits the uploads that a process receives at once, and shares them fairly.

Above the limit, an upload is refused before any work is done, with a time to retry. Without a
limit, uploads would fail later, when memory or file descriptors run out.
"""

import asyncio
import logging
from time import monotonic

from media_service.access.fair_places import FairPlaces, Place
from media_service.access.owner import Owner
from media_service.errors import Reason, ResourceExhausted
from media_service.storage.driver import PartLimits
from media_service.uploads.load import Pace, UploadLoad

log = logging.getLogger(__name__)

# A stream to a local disk needs an open file and the bytes just received. A stream to an object
# store holds its open part and the parts being sent: up to 40 MiB.
MOST_TO_DISK = 10_000
MOST_HELD = 100
# File descriptors reserved for client and database connections and other files.
SPARE_FILES = 512


def most_streams(asked: int | None, limits: PartLimits, open_files: int) -> int:
    """The maximum number of streams of a process.

    `asked` is the configured value; None selects the default. `open_files` is the number of files
    that the process may open.
    """
    if limits.target_part_size:
        return asked or MOST_HELD
    # A twentieth may have been evicted and still have files open; see `FairPlaces`.
    most, possible = asked or MOST_TO_DISK, max((open_files - SPARE_FILES) * 20 // 21, 1)
    if most > possible:
        log.warning(
            "this process may open %d files, so it accepts %d upload streams at once, not %d;"
            " raise the hard limit (ulimit -Hn, LimitNOFILE=), or set MEDIA_MAX_STREAMS",
            *(open_files, possible, most),
        )
    return min(most, possible)


class Admission:
    """Admits up to `most` concurrent streams, and shares them among their owners; see
    `FairPlaces`. While the process is overloaded, a stream is admitted only in place of another. If
    slow streams keep it overloaded, the newest of them end."""

    def __init__(self, most: int, load: UploadLoad) -> None:
        self._places = FairPlaces(most)
        self._load = load

    def stream(self, owner: Owner) -> Place:
        """Admits a stream of an owner. Raises ResourceExhausted (SERVER_BUSY) if too many are
        running, or the process is overloaded, and no other owner has more of them."""
        overloaded = self._load.refuses(self._places.held)
        place = self._places.take(owner, full=overloaded)
        if place is None:
            cause = "is overloaded" if overloaded else "receives as many uploads as it accepts"
            raise ResourceExhausted(
                Reason.SERVER_BUSY,
                f"This server {cause}. The upload was not started. Try again in a moment.",
                max_streams=self._places.most,
            )
        return place

    async def pace(self, place: Place, pace: Pace) -> None:
        """Waits before the next small message of a stream is read, if the load demands it."""
        self._load.count_message()
        if self._load.sheds(self._places.held):
            self._places.evict_newest()
        if self._load.pressure:
            delay = self._load.delay(self._places.of(place.owner), self._places.owners)
            if pause := pace.pause(monotonic(), delay):
                await asyncio.sleep(pause)

    def evicted(self) -> ResourceExhausted:
        """The error that ends a stream in favor of an owner who has fewer."""
        return ResourceExhausted(
            Reason.SERVER_BUSY,
            "The caller has the most uploads on this server, which is overloaded, or needs a place"
            " for another caller. Bytes that were received are kept if the upload can be resumed."
            " Try again in a moment.",
            max_streams=self._places.most,
        )
