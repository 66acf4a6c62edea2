"""Signatures of the Standard Webhooks specification, version 1, symmetric."""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence


def signed_headers(
    message_id: str, timestamp: int, body: bytes, secrets: Sequence[bytes]
) -> Mapping[str, str]:
    """With a signature of each secret, so that a receiver may know either. `timestamp`: of the
    attempt, in seconds. `message_id`: the same for every attempt."""
    content = f"{message_id}.{timestamp}.".encode() + body
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(content, secret) for secret in secrets),
    }


def signature(content: bytes, secret: bytes) -> str:
    return "v1," + base64.b64encode(hmac.digest(secret, content, hashlib.sha256)).decode()
