"""Webhooks and their deliveries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from media_service.access.owner import Owner
from media_service.access.principal import Principal

SUCCESS = range(200, 300)
GONE = 410


@dataclass(frozen=True, slots=True)
class Webhook:
    """`creator`: with the organization that events must belong to. `resource`: as in the migration
    `webhooks`. `principal`: the creator, as far as it decides their role. `secret`: sealed."""

    webhook_id: str
    resource: str
    creator: Owner
    principal: Principal
    url: str
    types: Sequence[str]
    description: str
    secret: bytes
    disable_reason: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event for a webhook. `next_time` None: there is no further attempt."""

    webhook_id: str
    event_id: str
    event_type: str
    attempts: int
    status: int
    duration: timedelta | None
    error: str
    excerpt: str
    create_time: datetime
    next_time: datetime | None
    delivered_time: datetime | None
    failed_time: datetime | None


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery to attempt now. `attempt`: its number, from 1."""

    webhook_id: str
    event_id: str
    attempt: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """`status`: of HTTP; 0: there was none, and `error` says why. `excerpt`: of the body."""

    status: int
    seconds: float
    error: str = ""
    excerpt: str = ""

    @property
    def delivered(self) -> bool:
        return self.status in SUCCESS

    @property
    def gone(self) -> bool:
        """Whether the receiver wants no more."""
        return self.status == GONE
