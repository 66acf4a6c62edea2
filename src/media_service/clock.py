"""The current time."""

from datetime import UTC, datetime


def now() -> datetime:
    """Returns the time in UTC."""
    return datetime.now(UTC)
