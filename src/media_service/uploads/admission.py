"""Admission control: limits the uploads that a process receives at once, and shares them fairly.

Above the limit, an upload is refused before any work is done, with a time to retry. Without a
limit, uploads would fail later, when memory or file descriptors run out.
"""

import logging

from media_service.access.fair_places import FairPlaces, Place
from media_service.access.owner import Owner
from media_service.errors import Reason, ResourceExhausted
from media_service.storage.driver import PartLimits

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
    `FairPlaces`."""

    def __init__(self, most: int) -> None:
        self._places = FairPlaces(most)

    def stream(self, owner: Owner) -> Place:
        """Admits a stream of an owner. Raises ResourceExhausted (SERVER_BUSY) if too many are
        running and no other owner has more of them."""
        place = self._places.take(owner)
        if place is None:
            raise ResourceExhausted(
                Reason.SERVER_BUSY,
                f"This server already receives {self._places.held} uploads, the most it accepts at"
                " once. The upload was not started. Try again in a moment.",
                max_streams=self._places.most,
            )
        return place

    def evicted(self) -> ResourceExhausted:
        """The error that ends a stream in favor of an owner who has fewer."""
        return ResourceExhausted(
            Reason.SERVER_BUSY,
            "The caller has the most uploads on this server, which needs a place for another"
            " caller. Bytes that were received are kept if the upload can be resumed. Try again in"
            " a moment.",
            max_streams=self._places.most,
        )
