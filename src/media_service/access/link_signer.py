"""Signs links that grant access by themselves: to what, until when.

A link is a JWT (RFC 7519) with an HMAC. It has its own keys, so no link is an access token, and no
access token a link. Its audience states its purpose.
"""

import base64
import hashlib
import hmac
import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import jwt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from media_service.access.principal import Principal
from media_service.errors import PermissionDenied, Reason

ALGORITHM = "HS256"
NONCE_BYTES = 12
SIGNER = "by"
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
        self._ciphers = [AESGCM(cipher_key(key)) for key in keys]

    def sign(
        self,
        purpose: str,
        claims: Mapping[str, Any],
        expire: datetime,
        signer: Principal | None = None,
    ) -> str:
        """A link for one purpose. Its holder can read the claims, but not change them, and not read
        who signed it. `signer`: whose role decides whether it still opens."""
        signed = {**claims, "aud": purpose, "exp": expire}
        if signer is not None:
            signed[SIGNER] = self._seal(signer)
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

    @staticmethod
    def purpose(token: str) -> str:
        """What a token says it is for, before anybody knows whether that is true."""
        try:
            return str(jwt.decode(token, options={"verify_signature": False}).get("aud"))
        except jwt.PyJWTError:
            return ""

    def signer(self, claims: Mapping[str, Any]) -> Principal:
        """Who signed the link with these claims, as far as it decides their role. Raises
        PermissionDenied (LINK_INVALID), also if the link does not say it: nobody could end it."""
        if SIGNER not in claims:
            raise invalid()
        sealed = base64.urlsafe_b64decode(claims[SIGNER])
        nonce, encrypted = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        for cipher in self._ciphers:
            try:
                return Principal(**json.loads(cipher.decrypt(nonce, encrypted, None)))
            except InvalidTag:
                continue  # it may be sealed with another key
        raise invalid()

    def _seal(self, signer: Principal) -> str:
        fields = {
            "subject": signer.subject,
            "type": signer.type,
            "issuer": signer.issuer,
            "org_id": signer.org_id,
            "org_issuer": signer.org_issuer,
            "administrator": signer.administrator,
            "account": signer.account,
            "link_mode": signer.link_mode,
            "session_key": signer.session_key,
        }
        plain = json.dumps({name: value for name, value in fields.items() if value})
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + self._ciphers[0].encrypt(nonce, plain.encode(), None)
        return base64.urlsafe_b64encode(sealed).decode()


def cipher_key(key: str) -> bytes:
    return hmac.digest(key.encode(), b"media-service signers of links", hashlib.sha256)
