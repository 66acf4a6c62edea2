"""Signs reports, so that others can verify them with a public key."""

import hmac

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)


class ReportSigner:
    """Its key is derived from the first key of links. When that changes, reports that were signed
    before keep their signature and its public key."""

    def __init__(self, key: str) -> None:
        seed = hmac.digest(key.encode(), b"media-service reports", "sha256")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def public_key(self) -> bytes:
        return self._key.public_key().public_bytes_raw()

    def sign(self, report: str) -> bytes:
        return self._key.sign(report.encode())


def is_signed(report: str, signature: bytes, public_key: bytes) -> bool:
    """Whether the holder of a public key signed the report."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, report.encode())
    except (InvalidSignature, ValueError):
        return False
    return True
