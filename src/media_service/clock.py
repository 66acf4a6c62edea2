"""The current time."""

from datetime import UTC, datetime, timedelta


def now() -> datetime:
    """Returns the time in UTC."""
    return datetime.now(UTC)


def next_month() -> datetime:
    """Returns when the next month begins in UTC."""
    month = now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (month + timedelta(days=31)).replace(day=1)
