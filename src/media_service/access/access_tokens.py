"""JSON Web Tokens (RFC 7519) as bearer tokens (RFC 6750).

HS256 with a shared secret, or RS256, ES256 and EdDSA with keys from a JWKS file or URL. Claims:
`sub` (required), `exp` (required), `iss`, `org`, `roles` (list), `scope` (space-separated). Other
issuers (MEDIA_JWT_ISSUERS) may use other names.

A user is a subject of an issuer. The configured issuer (MEDIA_JWT_ISSUER), and tokens without
`iss`, stand for the service's own issuer, whose users are known by their subject alone. Users of
another issuer are known as `issuer|subject`.

The unverified `iss` selects the issuer. Then only the keys, audience and claims of this issuer
count, so no issuer can sign for another.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jwt
from cachetools import TLRUCache

from media_service.access.key_set import KeySet
from media_service.access.owner import Owner
from media_service.access.principal import Principal
from media_service.errors import Reason, Unauthenticated
from media_service.issuers import DEFAULT_LEEWAY_SECONDS, AdminClaim, ClaimNames, Issuer

MAX_CACHED = 10_000
MAX_TOKEN = 8192  # characters
# Characters, as the contract allows for `Owner`, and bytes of both, which an index must hold.
MAX_USER = 512
MAX_ORGANIZATION = 255
MAX_OWNER_BYTES = 2000


def invalid(why: str) -> Unauthenticated:
    return Unauthenticated(Reason.TOKEN_INVALID, f"The token is not valid: {why}.")


@dataclass(frozen=True, slots=True)
class Trusted:
    """How the tokens of one issuer are verified. `issuer` empty: tokens of any issuer, or without
    one. `own`: whether its users are known by their subject alone. `secret`, `keys`: at least one
    of them."""

    issuer: str
    own: bool
    secret: str
    keys: KeySet | None
    audience: tuple[str, ...]
    leeway_seconds: int
    claims: ClaimNames


@dataclass(frozen=True, slots=True)
class Verified:
    """A verified token. `key` is the key of the set `keys` that verified it; None: the secret
    did."""

    principal: Principal
    expires: float
    keys: KeySet | None
    key: jwt.PyJWK | None


class TokenVerifier:
    """Turns tokens into principals. A verified token is remembered until it expires, or until the
    keys of its issuer are read again.

    `secret`, `jwks`, `issuer` and `audience` are those of the service's own issuer, unless `others`
    has it.
    """

    def __init__(
        self,
        *,
        secret: str,
        jwks: str,
        issuer: str,
        audience: str,
        others: Sequence[Issuer] = (),
        admin_claim: AdminClaim | None = None,
    ) -> None:
        if not secret and not jwks and not others:
            raise ValueError(
                "set MEDIA_JWT_SECRET, MEDIA_JWT_JWKS or MEDIA_JWT_ISSUERS to verify tokens"
            )
        self._others = {each.issuer: trusted(each, own=each.issuer == issuer) for each in others}
        self._own: Trusted | None = None
        if secret or jwks:
            keys = KeySet(jwks) if jwks else None
            audiences = (audience,) if audience else ()
            self._own = Trusted(
                issuer, True, secret, keys, audiences, DEFAULT_LEEWAY_SECONDS, ClaimNames()
            )
        self._admin_claim = admin_claim
        if admin_claim and admin_claim.issuer == issuer:
            self._admin_claim = replace(admin_claim, issuer="")
        self._verified: TLRUCache[str, Verified] = TLRUCache(
            MAX_CACHED, lambda _, verified, __: verified.expires, timer=time.time
        )

    async def verify(self, token: str) -> Principal:
        """Raises Unauthenticated (TOKEN_INVALID, TOKEN_EXPIRED), and Unavailable
        (KEYS_UNAVAILABLE)."""
        if (verified := self._verified.get(token)) and await key_remains(verified):
            return verified.principal
        verified = await self._verify(token)
        self._verified[token] = verified
        return verified.principal

    def remembers(self, token: str) -> bool:
        """Whether a token was verified before, so that `verify` takes almost no time."""
        return token in self._verified

    async def _verify(self, token: str) -> Verified:
        if len(token) > MAX_TOKEN:
            raise invalid(f"longer than {MAX_TOKEN} characters")
        try:
            issuer = self._issuer_of(token)
            header = jwt.get_unverified_header(token)
            key, algorithms = await key_for(header, issuer)
            claims = jwt.decode(
                token,
                key,
                algorithms=algorithms,
                issuer=issuer.issuer or None,
                audience=issuer.audience or None,
                leeway=issuer.leeway_seconds,
                options={
                    "require": ["exp", *(["sub"] if issuer.claims.subject == "sub" else [])],
                    "verify_aud": bool(issuer.audience),
                    "verify_sub": issuer.claims.subject == "sub",
                },
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated(
                Reason.TOKEN_EXPIRED, "The token has expired. Get a new one."
            ) from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise invalid(problem(error)) from None
        principal = principal_from(claims, issuer)
        if self._makes_administrator(claims, principal):
            principal = replace(principal, administrator=True)
        expires = expiry_from(claims) + issuer.leeway_seconds
        found = key if isinstance(key, jwt.PyJWK) else None
        return Verified(principal, expires, issuer.keys, found)

    def _issuer_of(self, token: str) -> Trusted:
        """The issuer that a token claims to be from. Nothing is verified yet."""
        if self._others:
            named = jwt.decode(token, options={"verify_signature": False}).get("iss")
            if isinstance(named, str) and named in self._others:
                return self._others[named]
            # The own issuer alone accepts any other, unless that would let its keys sign for more
            # than itself.
            if self._own and not self._own.issuer and named is not None:
                raise jwt.InvalidIssuerError
        if self._own is None:
            raise jwt.InvalidIssuerError
        return self._own

    def _makes_administrator(self, claims: dict[str, Any], principal: Principal) -> bool:
        wanted = self._admin_claim
        if wanted is None or wanted.issuer != principal.issuer:
            return False
        value = claim(claims, wanted.name)
        return wanted.value == value or (isinstance(value, list) and wanted.value in value)


def trusted(issuer: Issuer, *, own: bool) -> Trusted:
    keys = KeySet(issuer.jwks, f"the issuer {issuer.issuer}")
    return Trusted(
        issuer.issuer, own, "", keys, issuer.audience, issuer.leeway_seconds, issuer.claims
    )


async def key_remains(verified: Verified) -> bool:
    """Whether the key that verified a token is still one of its issuer."""
    if verified.key is None or verified.keys is None:
        return True
    return await verified.keys.holds(verified.key)


async def key_for(header: dict[str, Any], issuer: Trusted) -> tuple[str | jwt.PyJWK, list[str]]:
    """The key that a token names, and the only algorithms that the key may be used with."""
    if header.get("alg") == "HS256" and issuer.secret:
        return issuer.secret, ["HS256"]
    # A tuple, because the value in the header may be of any type, even unhashable.
    if header.get("alg") in ("RS256", "ES256", "EdDSA") and issuer.keys:
        return await issuer.keys.find(header.get("kid")), [header["alg"]]
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


def claim(claims: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """The claim with this name, or at this path of names in objects."""
    if not name:
        return default
    if name in claims:
        return claims[name]
    *parents, last = name.split(".")
    inner: Any = claims
    for parent in parents:
        inner = inner.get(parent) if isinstance(inner, Mapping) else None
    return inner.get(last, default) if isinstance(inner, Mapping) else default


def principal_from(claims: Mapping[str, Any], issuer: Trusted) -> Principal:
    names = issuer.claims
    subject, org = claim(claims, names.subject), claim(claims, names.organization, "")
    roles, scope = claim(claims, names.roles, []), claim(claims, names.scope)
    if not isinstance(subject, str) or not isinstance(org, str) or not isinstance(roles, list):
        raise invalid(
            f"`{names.subject}` and `{names.organization}` must be strings, `{names.roles}` a list"
        )
    if not subject:
        raise invalid(f"`{names.subject}` is empty")
    if isinstance(scope, list) and all(isinstance(each, str) for each in scope):
        scope = " ".join(scope)
    if scope is not None and not isinstance(scope, str):
        raise invalid(f"`{names.scope}` must be a string of permissions separated by spaces")
    principal = Principal(
        subject=subject,
        org_id=org,
        roles=frozenset(role for role in roles if isinstance(role, str)),
        scopes=None if scope is None else frozenset(scope.split()),
        issuer=issuer_name(claims, subject, issuer),
        org_issuer="" if issuer.own else issuer.issuer,
    )
    check_owner_text(principal.owner)
    return principal


def issuer_name(claims: Mapping[str, Any], subject: str, issuer: Trusted) -> str:
    """The issuer of a user; empty for the service's own. Refuses what could be mistaken for a user
    of another issuer."""
    if not issuer.own:
        return issuer.issuer
    # Other issuers are URLs.
    if "://" in subject.partition("|")[0] and "|" in subject:
        raise invalid("`sub` must not begin with a URL and `|`")
    name = "" if issuer.issuer else claims.get("iss", "")
    if not isinstance(name, str) or "|" in (name if name or issuer.issuer else subject):
        raise invalid("`iss`, or `sub` without `iss`, must be a string without `|`")
    return name


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
