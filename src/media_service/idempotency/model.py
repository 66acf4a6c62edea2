"""Idempotency keys: repeating a call with the same key returns the first result.

A key is claimed for the resource that the call creates, in the transaction that creates it. A call
that must first receive bytes claims its key for a short lease, and renews the lease while it runs.
It settles the key in the transaction that has the effect. Therefore, there is no effect without its
key, and no settled key without its effect.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from media_service.access.owner import Owner
from media_service.errors import Aborted, Reason

# How long a key is kept.
KEPT = timedelta(hours=24)
# How long the key of a running call outlives its server, and the interval of renewals.
LEASE = timedelta(seconds=30)
RENEW_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RequestKey:
    """The idempotency key of a request. `key_id` is the SHA-256 of the caller, the method and the
    key. Of a caller with sessions, it includes the session, so that visitors of one share link do
    not get the resources of each other. `digest` is the SHA-256 of the request's content, which
    must be the same in each repetition."""

    key_id: bytes
    digest: bytes

    @classmethod
    def of(cls, owner: Owner, method: str, key: str, content: bytes, session_id: str = "") -> Self:
        parts = [owner.org_id, owner.type, owner.id, method, key]
        if session_id:
            parts.append(session_id)
        named = b"".join(len(part.encode()).to_bytes(4) + part.encode() for part in parts)
        return cls(hashlib.sha256(named).digest(), hashlib.sha256(content).digest())


@dataclass(frozen=True, slots=True)
class KeyClaim:
    """A key, and the id of the resource that it is claimed for."""

    key: RequestKey
    resource_id: str


def other_content() -> Aborted:
    return Aborted(
        Reason.IDEMPOTENCY_CONFLICT,
        "This idempotency key was used for a request with different content. Use a new key.",
    )


def in_progress() -> Aborted:
    return Aborted(
        Reason.IDEMPOTENCY_IN_PROGRESS,
        "The first request with this idempotency key is still running. Repeat the request later.",
    )
