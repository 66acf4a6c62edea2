"""What a media takes over from its duplicates."""

from collections.abc import Sequence
from typing import Any

from media_service.errors import InvalidArgument, Reason
from media_service.media.model import Media

MAX_TAGS = 100
MAX_LABELS = 64


def merged_values(kept: Media, others: Sequence[Media]) -> dict[str, Any]:
    """The fields that change. What the kept media says itself stays: the others only add tags and
    labels, and fill what is empty. Raises InvalidArgument (INVALID_FIELD)."""
    tags = tuple(dict.fromkeys(tag for media in (kept, *others) for tag in media.tags))
    labels: dict[str, str] = {}
    for media in (*reversed(others), kept):
        labels |= media.labels
    merged: dict[str, Any] = {"tags": tags, "labels": labels}
    for name in ("title", "description", "capture_time", "rating"):
        values = (getattr(media, name) for media in (kept, *others))
        merged[name] = next((value for value in values if value), getattr(kept, name))
    for name, most in (("tags", MAX_TAGS), ("labels", MAX_LABELS)):
        if len(merged[name]) > most:
            why = f"would be more than {most}"
            raise InvalidArgument(Reason.INVALID_FIELD, f"The {name} {why}.", ((name, why),))
    return {name: value for name, value in merged.items() if value != getattr(kept, name)}
