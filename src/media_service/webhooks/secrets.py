"""The secrets that sign what webhooks deliver.

A signature needs the secret itself, so it is stored, encrypted with a key that is derived from one
of MEDIA_WEBHOOK_KEYS. Whoever reads the database alone cannot sign. The first key encrypts, and all
of them decrypt: see `resealing.py`.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from media_service.webhooks.model import Sealed

PREFIX = "whsec_"
SECRET_BYTES = 32
NONCE_BYTES = 12
NAME_BYTES = 8


class SecretLost(Exception):
    """None of the keys opens a secret: the one that sealed it is not there."""


def new_secret() -> bytes:
    return os.urandom(SECRET_BYTES)


def secret_text(secret: bytes) -> str:
    """As receivers get it, in the form of the Standard Webhooks specification."""
    return PREFIX + base64.b64encode(secret).decode()


class SecretBox:
    """Seals with the first key and opens with all."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._ciphers = [AESGCM(derived(key, "media-service webhook secrets")) for key in keys]
        # The name of the first key, which does not tell the key.
        self.key = derived(keys[0], "name")[:NAME_BYTES].hex()

    def seal(self, webhook_id: str, secret: bytes, old_secret: bytes | None = None) -> Sealed:
        """What opens only as the secrets of this webhook."""
        old = None if old_secret is None else self._encrypt(webhook_id, old_secret)
        return Sealed(self.key, self._encrypt(webhook_id, secret), old)

    def open(self, webhook_id: str, sealed: Sealed) -> tuple[bytes, bytes | None]:
        """The secret, and the old one. Raises SecretLost."""
        old = sealed.old_secret
        secret = self._decrypt(webhook_id, sealed.secret)
        return secret, None if old is None else self._decrypt(webhook_id, old)

    def _encrypt(self, webhook_id: str, secret: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, secret, webhook_id.encode())

    def _decrypt(self, webhook_id: str, sealed: bytes) -> bytes:
        nonce, encrypted = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, encrypted, webhook_id.encode())
            except (InvalidTag, ValueError):
                continue  # it may be sealed with another key
        raise SecretLost


def derived(key: str, purpose: str) -> bytes:
    return hmac.digest(key.encode(), purpose.encode(), hashlib.sha256)
