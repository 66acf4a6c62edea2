"""The secret of a share link: `msl_` and 256 random bits, of which a plain SHA-256 cannot be
searched."""

import hashlib
import secrets

MARK = "msl_"
SECRET_BYTES = 32


def new_secret() -> str:
    return MARK + secrets.token_urlsafe(SECRET_BYTES)


def secret_hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
