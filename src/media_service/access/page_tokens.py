"""Page tokens of lists: sealed, and bound to the query and the caller of the page they continue."""

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from media_service.errors import InvalidArgument, Reason

NONCE_BYTES = 12


def invalid() -> InvalidArgument:
    return InvalidArgument(
        Reason.INVALID_PAGE_TOKEN,
        "The page token is not valid for this request. Send `next_page_token` of the previous page"
        " unchanged, with the same other fields.",
        fields=(("page_token", "must be next_page_token of the previous page of the same list"),),
    )


class PageTokens:
    """Seals tokens with the first of some secrets, and opens what any of them sealed.

    A token holds the sort key of the last row of a page. It is encrypted, so that clients cannot
    rely on its content, and authenticated together with the query, so that it continues only the
    list it came from.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._ciphers = [AESGCM(key_from(secret)) for secret in secrets]

    def seal(self, query: Sequence[object], values: Sequence[Any]) -> str:
        """The token of the page that continues after a row with these values."""
        nonce = os.urandom(NONCE_BYTES)
        plain = json.dumps(values, default=str, ensure_ascii=False).encode()
        sealed = nonce + self._ciphers[0].encrypt(nonce, plain, binding(query))
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def open(self, query: Sequence[object], token: str, types: Sequence[type]) -> list[Any]:
        """The values in a token. Raises InvalidArgument (INVALID_PAGE_TOKEN)."""
        try:
            padded = token + "=" * (-len(token) % 4)
            sealed = base64.b64decode(padded, altchars=b"-_", validate=True)
            values = json.loads(self._decrypt(sealed, binding(query)))
            # A token of an earlier release may have other values.
            return [read_value(kind, value) for kind, value in zip(types, values, strict=True)]
        except (ValueError, TypeError):
            raise invalid() from None

    def _decrypt(self, sealed: bytes, bound: bytes) -> bytes:
        nonce, encrypted = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, encrypted, bound)
            except InvalidTag:
                continue
        raise ValueError("not sealed by any of the keys")


def key_from(secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"media-service page tokens", hashlib.sha256)


def binding(query: Sequence[object]) -> bytes:
    """Identifies a query and its caller."""
    return json.dumps(query, default=str).encode()


def read_value(kind: type, value: Any) -> Any:
    if value is None:  # a field without a value
        return None
    if kind is datetime:
        return datetime.fromisoformat(value)
    return kind(value)
