"""The secrets that sign what webhooks deliver.

A signature needs the secret itself, so it is stored, encrypted with a key that is derived from the
keys of links. Whoever reads the database alone cannot sign. A new first key of links encrypts new
secrets; an old key must stay until its secrets are replaced.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PREFIX = "whsec_"
SECRET_BYTES = 32
NONCE_BYTES = 12


class SecretLost(Exception):
    """None of the keys opens a secret: the one that sealed it was removed."""


def new_secret() -> bytes:
    return os.urandom(SECRET_BYTES)


def secret_text(secret: bytes) -> str:
    """As receivers get it, in the form of the Standard Webhooks specification."""
    return PREFIX + base64.b64encode(secret).decode()


class SecretBox:
    """Seals with the first key and opens with all."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._ciphers = [AESGCM(cipher_key(key)) for key in keys]

    def seal(self, webhook_id: str, secret: bytes) -> bytes:
        """What opens only as the secret of this webhook."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, secret, webhook_id.encode())

    def open(self, webhook_id: str, sealed: bytes) -> bytes:
        """Raises SecretLost."""
        nonce, encrypted = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, encrypted, webhook_id.encode())
            except InvalidTag:
                continue  # it may be sealed with another key
        raise SecretLost


def cipher_key(key: str) -> bytes:
    return hmac.digest(key.encode(), b"media-service webhook secrets", hashlib.sha256)
