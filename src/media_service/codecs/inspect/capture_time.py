"""Parses when a file was taken or recorded."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from media_service.clock import now

DATE = re.compile(r"(\d{4}):(\d{2}):(\d{2}) (\d{2}):(\d{2}):(\d{2})")
OFFSET = re.compile(r"([+-])(\d{2}):(\d{2})")
# By precedence: Apple's has the time zone of the place.
TAGS = ("com.apple.quicktime.creationdate", "creation_time")

# Nobody took an image earlier.
FIRST_IMAGE = datetime(1826, 1, 1, tzinfo=UTC)
# Where clocks that were never set begin: those of QuickTime and of Unix.
EPOCHS = (datetime(1904, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC))
# A local time that is read as UTC differs by up to 14 hours.
TIME_ZONES = timedelta(days=1)


def from_exif(tags: Mapping[str, str]) -> datetime | None:
    """DateTimeOriginal, with OffsetTimeOriginal if there is one, and otherwise as UTC."""
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
    """An ISO 8601 time, as UTC if it names no time zone; None if it is invalid or implausible."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return time if is_plausible(time) else None


def is_plausible(time: datetime) -> bool:
    """Whether a file can have been recorded then: not before photography, not in the future, and
    not by a clock that was never set."""
    return FIRST_IMAGE <= time <= now() + TIME_ZONES and all(
        abs(time - epoch) > TIME_ZONES for epoch in EPOCHS
    )
