"""Signs links that grant access by themselves: to what, until when.

A link is a JWT (RFC 7519) with an HMAC. It has its own keys, so no link is an access token, and no
access token a link. Its audience states its purpose.
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
    """The same error for every fault, so that an invalid link reveals nothing."""
    return PermissionDenied(
        Reason.LINK_INVALID, "The link is not valid or has expired. Request a new one."
    )


def key_from(secret: str) -> str:
    """Derives a key for links from the secret of access tokens."""
    return hmac.new(secret.encode(), b"media-service signed links", hashlib.sha256).hexdigest()


class LinkSigner:
    """Signs with the first key and accepts all. To rotate keys, add a new one in front, and remove
    the old one when its last link has expired."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ValueError("set MEDIA_LINK_KEYS, which is required without MEDIA_JWT_SECRET")
        self._keys = tuple(keys)

    def sign(self, purpose: str, claims: Mapping[str, Any], expire: datetime) -> str:
        """A link for one purpose. Its holder can read the claims, but not change them."""
        signed = {**claims, "aud": purpose, "exp": expire}
        return jwt.encode(signed, self._keys[0], algorithm=ALGORITHM)

    def open(self, purpose: str, token: str) -> dict[str, Any]:
        """The claims of a link. Raises PermissionDenied (LINK_INVALID)."""
        if not re.fullmatch(
            TOKEN, token, re.ASCII
        ):  # decoders accept more than this exact form, such as padding
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
                continue  # it may be signed with another key
            except jwt.PyJWTError:
                break
        raise invalid()
