"""Links that carry their own permission: what they allow, until when, and a signature.

A link is a JWT (RFC 7519) with an HMAC, by keys of its own, so that no link is an access token and
no access token a link. Its audience says what it is for.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import jwt

from media_service.errors import PermissionDenied, Reason

ALGORITHM = "HS256"
TOKEN = r"[\w-]+\.[\w-]+\.[\w-]+"


def invalid() -> PermissionDenied:
    """The same for every fault, so that a link that is not good tells nothing."""
    return PermissionDenied(
        Reason.LINK_INVALID, "The link is not valid, or no longer; ask for a new one."
    )


def key_from(secret: str) -> str:
    """A key for links from the one of access tokens."""
    return hmac.new(secret.encode(), b"media-service signed links", hashlib.sha256).hexdigest()


class LinkSigner:
    """Signs with the first key, and accepts what any of them signed: to rotate, put a new key in
    front and take the old one away when its last link has expired."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ValueError(
                "set MEDIA_LINK_KEYS, which signs links, where there is no MEDIA_JWT_SECRET"
            )
        self._keys = tuple(keys)

    def sign(self, purpose: str, claims: Mapping[str, Any], expire: datetime) -> str:
        """A link for one purpose: what is in it can be read by whoever has it, not changed."""
        signed = {**claims, "aud": purpose, "exp": expire}
        return jwt.encode(signed, self._keys[0], algorithm=ALGORITHM)

    def open(self, purpose: str, token: str) -> dict[str, Any]:
        """What was signed. Raises PermissionDenied (LINK_INVALID)."""
        if not re.fullmatch(TOKEN, token, re.ASCII):  # decoders are lenient, with padding for one
            raise invalid()
        for key in self._keys:
            try:
                return jwt.decode(
                    token,
                    key,
                    algorithms=[ALGORITHM],
                    audience=purpose,
                    options={"require": ["exp", "aud"]},
                )
            except jwt.InvalidSignatureError:
                continue  # another key may have signed it
            except jwt.PyJWTError:
                break
        raise invalid()
