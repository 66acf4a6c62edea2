"""The text of an API key: `msk_PREFIX_SECRET`.

The prefix identifies the key, and may be shown. The secret has 256 random bits, so a plain SHA-256
of it cannot be searched, and needs no salt. All characters are letters and digits, so that a double
click selects the key, and scanners of leaked secrets find it.
"""

import hashlib
import re
import secrets
import string
from dataclasses import dataclass

PREFIX_ALPHABET = string.ascii_lowercase + string.digits
PREFIX_LENGTH = 12
SECRET_ALPHABET = string.ascii_letters + string.digits
SECRET_LENGTH = 43  # 62 ** 43 > 2 ** 256
MARK = "msk_"
KEY = re.compile(rf"{MARK}([a-z0-9]{{{PREFIX_LENGTH}}})_([A-Za-z0-9]{{{SECRET_LENGTH}}})")


@dataclass(frozen=True, slots=True)
class NewKey:
    prefix: str
    secret: str

    @property
    def text(self) -> str:
        return f"{MARK}{self.prefix}_{self.secret}"


def new_key() -> NewKey:
    return NewKey(
        "".join(secrets.choice(PREFIX_ALPHABET) for _ in range(PREFIX_LENGTH)),
        "".join(secrets.choice(SECRET_ALPHABET) for _ in range(SECRET_LENGTH)),
    )


def parse_key(text: str) -> tuple[str, bytes] | None:
    """The prefix of a key and the hash of its secret; None for what is not a key."""
    match = KEY.fullmatch(text)
    return (match[1], secret_hash(match[2])) if match else None


def secret_hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
