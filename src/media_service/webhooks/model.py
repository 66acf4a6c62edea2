"""Webhooks and their deliveries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from media_service.access.owner import Owner
from media_service.access.principal import Principal

SUCCESS = range(200, 300)
GONE = 410


@dataclass(frozen=True, slots=True)
class Sealed:
    """The secrets of a webhook, encrypted. `key`: the name of the key; empty: unknown.
    `old_secret`: the one before; None: there is none that signs."""

    key: str
    secret: bytes
    old_secret: bytes | None = None


@dataclass(frozen=True, slots=True)
class Webhook:
    """`creator`: with the organization that events must belong to. `resource`: as in the migration
    `webhooks`. `principal`: the creator, as far as it decides their role. `failing_since`: the
    first attempt that failed after the last one that succeeded."""

    webhook_id: str
    resource: str
    creator: Owner
    principal: Principal
    url: str
    types: Sequence[str]
    project_ids: Sequence[str]
    description: str
    sealed: Sealed
    old_secret_expire_time: datetime | None
    disable_reason: str
    failing_since: datetime | None
    create_time: datetime

    @property
    def project_id(self) -> str:
        """The project whose events it gets; empty: of more than one."""
        kind, _, name = self.resource.partition(":")
        return name if kind == "project" else ""


@dataclass(frozen=True, slots=True)
class DueWebhook:
    """`account`: whose share of the attempts its deliveries use up."""

    webhook: Webhook
    account: str


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
    """A delivery to attempt now. `number`: of the attempt, from 1. `attempt`: the same since it was
    last sent again by hand."""

    webhook_id: str
    event_id: str
    number: int
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


@dataclass(frozen=True, slots=True)
class Finished:
    """An attempt that has ended. `pause`: until the next one; None: there is none."""

    claim: Claim
    answer: Answer
    pause: timedelta | None
