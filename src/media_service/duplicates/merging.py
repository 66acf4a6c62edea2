"""What a media takes over from its duplicates."""

from collections.abc import Mapping, Sequence
from typing import Any

from media_service.errors import InvalidArgument, Reason
from media_service.media.metadata import check_limits
from media_service.media.model import Media

MAX_TAGS = 100
MAX_LABELS = 64


def merged_values(kept: Media, others: Sequence[Media]) -> dict[str, Any]:
    """The fields that change. What the kept media says itself stays: the others only add tags and
    labels, and fill what is empty. Raises InvalidArgument (INVALID_FIELD, METADATA_NOT_ALLOWED)."""
    tags = tuple(dict.fromkeys(tag for media in (kept, *others) for tag in media.tags))
    labels: dict[str, str] = {}
    for media in (*reversed(others), kept):
        labels |= media.labels
    metadata: Mapping[str, Any] = {}
    for media in (kept, *others):
        metadata = with_more(metadata, media.metadata)
    check_limits(metadata)
    merged: dict[str, Any] = {"tags": tags, "labels": labels, "metadata": metadata}
    for name in ("title", "description", "capture_time", "rating"):
        values = (getattr(media, name) for media in (kept, *others))
        merged[name] = next((value for value in values if value), getattr(kept, name))
    for name, most in (("tags", MAX_TAGS), ("labels", MAX_LABELS)):
        if len(merged[name]) > most:
            why = f"would be more than {most}"
            raise InvalidArgument(Reason.INVALID_FIELD, f"The {name} {why}.", ((name, why),))
    return {name: value for name, value in merged.items() if value != getattr(kept, name)}


def with_more(metadata: Mapping[str, Any], more: Mapping[str, Any]) -> Mapping[str, Any]:
    """The metadata with the keys that only `more` has, also in objects that both have."""
    merged = {**more, **metadata}
    for key in metadata.keys() & more.keys():
        if isinstance(metadata[key], Mapping) and isinstance(more[key], Mapping):
            merged[key] = with_more(metadata[key], more[key])
    return merged
