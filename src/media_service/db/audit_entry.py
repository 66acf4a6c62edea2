"""Entries of the audit log, and the call that they record.

The gate describes each call in an `AuditedCall`. A use case records a change with `tx.audit`, in
the transaction of the change. What no transaction has recorded, the gate records at the end of the
call (`rpc/audit_record.py`).
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from media_service.access.owner import Owner
from media_service.ids import new_id

SALT_BYTES = 16


class Category(StrEnum):
    VIEW = "VIEW"
    DOWNLOAD = "DOWNLOAD"
    SHARE = "SHARE"
    CHANGE = "CHANGE"
    DENIAL = "DENIAL"


# The actions that give others access. Every other recorded action is a change.
SHARES = {
    *("media.sign", "media.hand_out", "media.publish", "uploads.sign", "audit.export"),
    *("grants.set", "grants.delete", "users.export"),
    "signed_urls.revoke",
    *("share_links.create", "share_links.open", "share_links.update", "share_links.revoke"),
}


def category_of(action: str) -> Category:
    return Category.SHARE if action in SHARES else Category.CHANGE


@dataclass(frozen=True, slots=True)
class Origin:
    """Who acts, and from where. `credential_id`: of the key or the link that the caller used."""

    actor_type: str
    actor_id: str = ""
    org_id: str = ""
    credential_id: str = ""
    request_id: str = ""
    address: str = ""
    user_agent: str = ""

    def hash(self, salt: bytes) -> bytes:
        """The digest of what expires earlier than the entry."""
        personal = f"{self.address}\n{self.user_agent}".encode()
        return hashlib.sha256(salt + personal).digest()


# What happens without a call, such as the deletion of a media that has expired.
SERVICE = Origin("service")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """`time` None: of the transaction that writes it. `org_id` and `project_id` are those of the
    media if there is one, and so is `version` unless it is set. `counted`: it is a view or a
    download, unless the caller began to view the media a short time ago. `requests`: how many calls
    it stands for. `details`: what a change set. They name users by their random ids."""

    category: Category
    action: str
    origin: Origin
    media_id: str = ""
    version: int = 0
    org_id: str = ""
    project_id: str = ""
    resource_id: str = ""
    outcome: str = "OK"
    counted: bool = False
    requests: int = 1
    bytes: int = 0
    details: Mapping[str, str] = field(default_factory=dict)
    time: datetime | None = None
    entry_id: str = field(default_factory=new_id)

    def row(self) -> list[object]:
        """The values of `COLUMNS` in `db/queries.py`."""
        origin, salt = self.origin, os.urandom(SALT_BYTES)
        return [
            self.entry_id,
            None if self.time is None else self.time.isoformat(),
            self.category,
            self.action,
            origin.actor_type,
            origin.actor_id,
            origin.credential_id,
            origin.request_id,
            origin.address,
            origin.user_agent,
            f"\\x{salt.hex()}",
            f"\\x{origin.hash(salt).hex()}",
            self.media_id or None,
            self.version,
            self.org_id or origin.org_id,
            self.project_id,
            self.resource_id,
            self.outcome,
            self.counted,
            self.requests,
            self.bytes,
            json.dumps(self.details, separators=(",", ":")) if self.details else "",
        ]


@dataclass
class AuditedCall:
    """A call, as far as it is known. `action` is empty if the call is not recorded unless it fails
    or reads content. `recorded`: whether a transaction has recorded it. `caller`: None without a
    token. `credential_id`: of the link that replaces the token."""

    action: str
    to_origin: Callable[["AuditedCall"], Origin]
    caller: Owner | None = None
    credential_id: str = ""
    recorded: bool = False
    media_id: str = ""
    version: int = 0
    resource_id: str = ""
    # What the call has read of the media.
    read: Category | None = None
    counted: bool = False
    bytes: int = 0
    # With the caller for whom it was computed.
    _origin: tuple[Owner | None, str, Origin] | None = None

    def origin(self) -> Origin:
        """It is computed only for calls that are recorded, and once for all changes of a batch."""
        caller = self.caller, self.credential_id
        if self._origin is None or self._origin[:2] != caller:
            self._origin = (*caller, self.to_origin(self))
        return self._origin[2]

    def reads(self, media_id: str, version: int, category: Category, *, counted: bool) -> None:
        """Notes that the call reads content of a media."""
        self.media_id, self.version, self.read = media_id, version, category
        self.counted = self.counted or counted


def link_id(token: str) -> str:
    """Identifies a link in the log without revealing it."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]


current_call: ContextVar[AuditedCall | None] = ContextVar("current_call", default=None)
