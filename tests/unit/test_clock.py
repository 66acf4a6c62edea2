"""The current time."""

from datetime import UTC

from media_service.clock import now


def test_the_time_is_in_utc() -> None:
    assert now().tzinfo is UTC
