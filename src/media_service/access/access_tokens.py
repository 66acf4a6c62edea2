"""JSON Web Tokens (RFC 7519) as bearer tokens (RFC 6750).

HS256 with a shared secret, or RS256, ES256 and EdDSA with keys from a JWKS file or URL. Claims:
`sub` (required), `exp` (required), `iss`, `org`, `roles` (list), `scope` (space-separated).

A user is a subject of an issuer. The configured issuer (MEDIA_JWT_ISSUER), and tokens without
`iss`, stand for the service's own issuer, whose users are known by their subject alone. Where no
issuer is configured, users of an issuer are known as `issuer|subject`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from cachetools import TLRUCache

from media_service.access.key_set import KeySet
from media_service.access.owner import Owner
from media_service.access.principal import Principal
from media_service.errors import Reason, Unauthenticated

MAX_CACHED = 10_000
MAX_TOKEN = 8192  # characters
# Characters, as the contract allows for `Owner`, and bytes of both, which an index must hold.
MAX_USER = 512
MAX_ORGANIZATION = 255
MAX_OWNER_BYTES = 2000
LEEWAY_SECONDS = 30


def invalid(why: str) -> Unauthenticated:
    return Unauthenticated(Reason.TOKEN_INVALID, f"The token is not valid: {why}.")


@dataclass(frozen=True, slots=True)
class Verified:
    """A verified token. `key` is the key of the key set that verified it; None: the secret did."""

    principal: Principal
    expires: float
    key: jwt.PyJWK | None


class TokenVerifier:
    """Turns tokens into principals. A verified token is remembered until it expires, or until the
    keys of the key set are read again."""

    def __init__(self, *, secret: str, jwks: str, issuer: str, audience: str) -> None:
        if not secret and not jwks:
            raise ValueError("set MEDIA_JWT_SECRET or MEDIA_JWT_JWKS to verify tokens")
        self._secret = secret
        self._issuer = issuer
        self._audience = audience
        self._keys = KeySet(jwks) if jwks else None
        self._verified: TLRUCache[str, Verified] = TLRUCache(
            MAX_CACHED, lambda _, verified, __: verified.expires, timer=time.time
        )

    async def verify(self, token: str) -> Principal:
        """Raises Unauthenticated (TOKEN_INVALID, TOKEN_EXPIRED), and Unavailable
        (KEYS_UNAVAILABLE)."""
        if (verified := self._verified.get(token)) and await self._key_remains(verified.key):
            return verified.principal
        claims, key = await self._claims(token)
        principal = principal_from(claims, self._issuer)
        self._verified[token] = Verified(principal, expiry_from(claims) + LEEWAY_SECONDS, key)
        return principal

    async def _key_remains(self, key: jwt.PyJWK | None) -> bool:
        return key is None or (self._keys is not None and await self._keys.holds(key))

    async def _claims(self, token: str) -> tuple[dict[str, Any], jwt.PyJWK | None]:
        """The claims of a token, and the key of the key set that verified them, if one did."""
        if len(token) > MAX_TOKEN:
            raise invalid(f"longer than {MAX_TOKEN} characters")
        try:
            header = jwt.get_unverified_header(token)
            key, algorithms = await self._key(header)
            claims = jwt.decode(
                token,
                key,
                algorithms=algorithms,
                issuer=self._issuer or None,
                audience=self._audience or None,
                leeway=LEEWAY_SECONDS,
                options={"require": ["sub", "exp"], "verify_aud": bool(self._audience)},
            )
            return claims, key if isinstance(key, jwt.PyJWK) else None
        except jwt.ExpiredSignatureError:
            raise Unauthenticated(
                Reason.TOKEN_EXPIRED, "The token has expired. Get a new one."
            ) from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise invalid(problem(error)) from None

    async def _key(self, header: dict[str, Any]) -> tuple[str | jwt.PyJWK, list[str]]:
        """The key that a token names, and the only algorithms that the key may be used with."""
        if header.get("alg") == "HS256" and self._secret:
            return self._secret, ["HS256"]
        # A tuple, because the value in the header may be of any type, even unhashable.
        if header.get("alg") in ("RS256", "ES256", "EdDSA") and self._keys:
            return await self._keys.find(header.get("kid")), [header["alg"]]
        raise jwt.InvalidAlgorithmError("its algorithm is not accepted")


# The most specific class of an error comes first. What the library says is not shown: it may quote
# the token.
PROBLEMS: Sequence[tuple[type[Exception], str]] = (
    (jwt.InvalidSignatureError, "its signature is wrong"),
    (jwt.InvalidAlgorithmError, "its algorithm is not accepted"),
    (jwt.InvalidKeyError, "it names an unknown key"),
    (jwt.InvalidAudienceError, "its audience (`aud`) is not this service"),
    (jwt.InvalidIssuerError, "its issuer (`iss`) is not accepted"),
    (jwt.ImmatureSignatureError, "it is not valid yet (`nbf`, `iat`)"),
    (
        jwt.MissingRequiredClaimError,
        "it lacks a claim that is required, such as `sub` or `exp`",
    ),
    (jwt.DecodeError, "it is not a JSON Web Token, or a time in it is not a number"),
)


def problem(error: Exception) -> str:
    return next(
        (text for kind, text in PROBLEMS if isinstance(error, kind)), "a claim is malformed"
    )


def expiry_from(claims: dict[str, Any]) -> float:
    try:
        return float(claims["exp"])
    except OverflowError:
        raise invalid("`exp` must be a time in seconds") from None


def principal_from(claims: dict[str, Any], own_issuer: str) -> Principal:
    """`own_issuer`: the configured issuer, whose users are identified by their subject alone."""
    subject, org, roles = claims["sub"], claims.get("org", ""), claims.get("roles", [])
    issuer = "" if own_issuer else claims.get("iss", "")
    scope = claims.get("scope")
    if not isinstance(org, str) or not isinstance(roles, list) or not subject:
        raise invalid("`sub` and `org` must be strings, `roles` a list")
    if scope is not None and not isinstance(scope, str):
        raise invalid("`scope` must be a string of permissions separated by spaces")
    if not isinstance(issuer, str) or "|" in (issuer if issuer or own_issuer else subject):
        # Otherwise a user could be mistaken for one of another issuer.
        raise invalid("`iss`, or `sub` without `iss`, must be a string without `|`")
    principal = Principal(
        subject=subject,
        org_id=org,
        roles=frozenset(role for role in roles if isinstance(role, str)),
        scopes=None if scope is None else frozenset(scope.split()),
        issuer=issuer,
    )
    check_owner_text(principal.owner)
    return principal


def check_owner_text(owner: Owner) -> None:
    """Refuses names that the contract or the database does not allow."""
    for claims, text, limit in (
        ("`sub`, with the `iss` in front of it,", owner.id, MAX_USER),
        ("`org`", owner.org_id, MAX_ORGANIZATION),
    ):
        if len(text) > limit or not storable(text):
            raise invalid(f"{claims} must be text of at most {limit} characters without NUL")
    if len(f"{owner.id}{owner.org_id}".encode()) > MAX_OWNER_BYTES:
        raise invalid(f"`sub`, `iss` and `org` together are longer than {MAX_OWNER_BYTES} bytes")


def storable(text: str) -> bool:
    """Whether a text has neither a NUL nor half of a surrogate pair, as JSON may have."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False
