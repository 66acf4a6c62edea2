"""The types of events: the catalogue of what consumers are told. docs/events.md is made from it.

To add one, add a member: its name for consumers, what has happened, and the fields of its data that
are not in every event about its subject. `Event` accepts no others.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Self

# What a field of the data means, whatever the event.
FIELDS: Mapping[str, str] = {
    "contentType": "The type of the original, such as `image/jpeg`.",
    "kind": "The kind of the media: IMAGE, VIDEO, AUDIO or DOCUMENT.",
    "mediaId": "UUID of the media.",
    "reason": "Why, as a reason of docs/errors.md; absent or empty if a caller wanted it.",
    "sizeBytes": "The size of the file.",
    "state": "The state of the media after the change, as in `Media.state`.",
    "version": "The current version of the media.",
    "visibility": "What anyone may read: see `Media.visibility`.",
}
# In every event about a media.
OF_MEDIA = frozenset({"kind", "state", "version", "visibility"})


class EventType(StrEnum):
    """`about`: what has happened. `fields`: of the data."""

    about: str
    fields: frozenset[str]

    def __new__(cls, value: str, about: str, *fields: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.about = about
        member.fields = frozenset(fields)
        return member

    MEDIA_CREATED = (
        "media.created",
        "An upload has become a media. It is not inspected yet.",
        *("contentType", "sizeBytes"),
    )
    MEDIA_UPDATED = "media.updated", "Fields of a media were changed by a caller."
    MEDIA_DELETED = "media.deleted", "A media was deleted, and can be undeleted.", "reason"
    MEDIA_UNDELETED = "media.undeleted", "A deleted media was restored."
    MEDIA_PURGED = (
        "media.purged",
        "A media was removed for good. `media.deleted` came before, if only just before.",
    )
