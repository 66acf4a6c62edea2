"""An event as a transaction accepts it: `tx.emit(Event(...))`. `events` brings it to consumers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from media_service.access.owner import Owner
from media_service.access.role import Role
from media_service.db.event_types import OF_MEDIA, EventType
from media_service.ids import new_id

Value: TypeAlias = str | int | float | bool | None
NOBODY = Owner("service", "")


@dataclass(frozen=True, slots=True)
class Numbered:
    """The number of an event that the statement took which changed its media, and what the event
    says of the media (see `OF_MEDIA`)."""

    sequence: int
    owner: Owner
    project_id: str
    data: Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`type`: an `EventType`, which declares the fields of `data`. Data is public: ids, states,
    numbers and reasons, but no names of people or files, and no signed URLs.

    An event about a media has its `media_id`, and nothing else: the transaction adds whose it is,
    its kind, state, version and visibility, and the next number of its sequence. `first`: the media
    is new, so that its owner and project are in the event and the number is 1. `numbered`: what the
    transaction would add otherwise.

    An event about anything else has its `subject`, such as "job/ID", its `owner` and `project_id`;
    `media_id` is then the media that it belongs to, if there is one. `minimum_role`: which callers
    may see it.
    """

    type: EventType
    subject: str = ""
    media_id: str = ""
    owner: Owner = NOBODY
    project_id: str = ""
    first: bool = False
    numbered: Numbered | None = None
    minimum_role: Role = Role.VIEWER
    data: Mapping[str, Value] = field(default_factory=dict)
    event_id: str = field(default_factory=new_id)

    def __post_init__(self) -> None:
        if unknown := self.data.keys() - self.type.fields - OF_MEDIA:
            raise ValueError(f"{self.type} does not declare {', '.join(sorted(unknown))}")
        if not self.subject and not self.media_id:
            raise ValueError(f"{self.type} needs a subject or a media")

    @property
    def counted(self) -> bool:
        """Whether it takes the next number of the sequence of its media."""
        return not self.subject and not self.first and not self.numbered

    def row(self) -> dict[str, object]:
        """The columns of `events`, as far as they are known here."""
        known = self.numbered
        owner = known.owner if known else self.owner
        return {
            "event_id": self.event_id,
            "type": self.type,
            "subject": self.subject or f"media/{self.media_id}",
            "media_id": self.media_id or None,
            "sequence": known.sequence if known else 1 if self.first else None,
            "org_id": owner.org_id,
            "owner_type": owner.type,
            "owner_id": owner.id,
            "project_id": known.project_id if known else self.project_id,
            "minimum_role": int(self.minimum_role),
            "data": {**self.data, **known.data} if known else dict(self.data),
        }
