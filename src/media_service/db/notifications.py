"""Notifications between processes after a commit. A notification only says that something changed.

To add one, add its class and list it in `Notification`. Every process listens to all of them.
"""

import json
from dataclasses import dataclass
from typing import TypeAlias, TypeVar, get_args


@dataclass(frozen=True, slots=True)
class UploadChanged:
    """An upload has another state, epoch, or number of bytes. `by_parts`: clients put its parts in
    this epoch; otherwise a stream writes them. `epoch` 0: unknown."""

    upload_id: str
    state: str
    epoch: int = 0
    by_parts: bool = False

    @property
    def key(self) -> str:
        return self.upload_id


@dataclass(frozen=True, slots=True)
class MediaChanged:
    """A media, its renditions or the first segments of its stream changed, a job that renders one
    ended, or the media was purged."""

    media_id: str

    @property
    def key(self) -> str:
        return self.media_id


@dataclass(frozen=True, slots=True)
class JobChanged:
    """A job has another state or more progress. `fence`: of the attempt that reports it; 0 if
    the change came from elsewhere, so that the attempt must check whether it holds the job."""

    job_id: str
    fence: int = 0

    @property
    def key(self) -> str:
        return self.job_id


@dataclass(frozen=True, slots=True)
class JobRunnable:
    """A job may be claimed. `heavy`: see `NewJob`."""

    heavy: bool = False

    @property
    def key(self) -> str:
        return "heavy" if self.heavy else ""


@dataclass(frozen=True, slots=True)
class EventAdded:
    """The outbox has events for the relay."""

    key = ""


@dataclass(frozen=True, slots=True)
class EventRelayed:
    """The relay has given events their cursors, so consumers can read them."""

    key = ""


@dataclass(frozen=True, slots=True)
class WebhookDue:
    """A webhook has a delivery to attempt now."""

    key = ""


Notification: TypeAlias = (
    UploadChanged | MediaChanged | JobChanged | JobRunnable | EventAdded | EventRelayed | WebhookDue
)
E = TypeVar(
    "E",
    UploadChanged,
    MediaChanged,
    JobChanged,
    JobRunnable,
    EventAdded,
    EventRelayed,
    WebhookDue,
)


def channel(kind: type[Notification]) -> str:
    """The LISTEN/NOTIFY channel of a type of notification."""
    return f"media_{kind.__name__.lower()}"


KINDS: dict[str, type[Notification]] = {channel(kind): kind for kind in get_args(Notification)}


def encode(notification: Notification) -> str:
    return json.dumps({name: getattr(notification, name) for name in notification.__slots__})


def decode(name: str, payload: str) -> Notification:
    """The notification that arrived on the channel `name`. While servers are replaced by those of
    another version, it may have other fields. Raises ValueError and TypeError if it is none."""
    kind, fields = KINDS[name], json.loads(payload)
    return kind(**{field: fields[field] for field in kind.__slots__ if field in fields})
