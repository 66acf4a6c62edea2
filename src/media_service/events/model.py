"""Events as consumers get them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from media_service.access.policy import Condition
from media_service.access.queries import Scope


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the order of all events: behind the event with this `number`. Numbers of another
    `epoch` are not comparable."""

    epoch: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """None if it is not the text of a cursor."""
        match = re.fullmatch(r"(\d{1,18})-(\d{1,18})", text)
        return cls(int(match[1]), int(match[2])) if match else None

    def __str__(self) -> str:
        return f"{self.epoch}-{self.number}"


@dataclass(frozen=True, slots=True)
class Followed:
    """What a watch follows, as conditions for an event `e` and its media `m` as it is now.
    `selected`: the events that belong to it. `shared`: those that the caller may see even if what
    they are about is not in `scope`."""

    scope: Scope
    selected: Condition
    shared: Condition


@dataclass(frozen=True, slots=True)
class RelayedEvent:
    """An event that has its place in the order. `sequence`: its number among those of its media; 0
    for other resources. `owner_id`: whose it is; sinks that publish it say so."""

    cursor: Cursor
    event_id: str
    type: str
    subject: str
    time: datetime
    data: Mapping[str, Any]
    media_id: str = ""
    sequence: int = 0
    org_id: str = ""
    project_id: str = ""
    owner_type: str = ""
    owner_id: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Events after a cursor. `end`: where the next page begins, behind events that were left out,
    too. `full`: there may be more at once."""

    events: tuple[RelayedEvent, ...]
    end: Cursor
    full: bool
