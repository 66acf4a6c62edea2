"""Parses the time at which a file was recorded."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from media_service.clock import now

DATE = re.compile(r"(\d{4}):(\d{2}):(\d{2}) (\d{2}):(\d{2}):(\d{2})")
OFFSET = re.compile(r"([+-])(\d{2}):(\d{2})")
# In order of precedence. Apple's tag has the local time zone.
TAGS = ("com.apple.quicktime.creationdate", "creation_time")

# The time of the first photograph.
FIRST_IMAGE = datetime(1826, 1, 1, tzinfo=UTC)
# The epochs of QuickTime and Unix, at which clocks that were never set begin.
EPOCHS = (datetime(1904, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC))
# A local time that is read as UTC differs by up to 14 hours.
TIME_ZONES = timedelta(days=1)


def from_exif(tags: Mapping[str, str]) -> datetime | None:
    """Returns DateTimeOriginal with OffsetTimeOriginal, or as UTC if there is no offset."""
    fields = DATE.fullmatch(tags.get("DateTimeOriginal", ""))
    if not fields:
        return None
    offset = OFFSET.fullmatch(tags.get("OffsetTimeOriginal", ""))
    zone = offset[0] if offset else "+00:00"
    year, month, day, *time = fields.groups()
    return parsed(f"{year}-{month}-{day}T{':'.join(time)}{zone}")


def from_metadata(metadata: Mapping[str, str]) -> datetime | None:
    """The creation date of a video or audio file."""
    found = (parsed(metadata[tag]) for tag in TAGS if tag in metadata)
    return next(filter(None, found), None)


def parsed(text: str) -> datetime | None:
    """Parses an ISO 8601 time, as UTC if it has no time zone. Returns None if it is invalid or
    implausible."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return time if is_plausible(time) else None


def is_plausible(time: datetime) -> bool:
    """Whether a file can have been recorded at this time: after the invention of photography, not
    in the future, and not by a clock that was never set."""
    return FIRST_IMAGE <= time <= now() + TIME_ZONES and all(
        abs(time - epoch) > TIME_ZONES for epoch in EPOCHS
    )
