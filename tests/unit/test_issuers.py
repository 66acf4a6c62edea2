"""Several issuers of tokens: which of them counts, and what its tokens may say."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from media_service.access.access_tokens import TokenVerifier
from media_service.access.key_set import UNKNOWN_KEY_SECONDS
from media_service.config import ConfigError, load
from media_service.errors import MediaError, Reason, Unauthenticated
from tests.support.key_server import KeyServer, claims, eddsa, hmac_signed, jwk, key_server

SECRET = "a secret of thirty-two bytes, ok!"
A, B = "https://a.example", "https://b.example/"
KEY_A, KEY_B = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
KEYCLOAK = {
    "organization": "https://claims.example/org",
    "roles": "realm_access.roles",
    "scope": "",
}


@pytest.fixture
def keys_a() -> Iterator[KeyServer]:
    with key_server() as server:
        server.give(jwk(KEY_A, "key"))
        yield server


@pytest.fixture
def keys_b(tmp_path: Path) -> str:
    """A file. Its key has the same id as that of the other issuer."""
    (tmp_path / "b.json").write_text(json.dumps({"keys": [jwk(KEY_B, "key")]}))
    return (tmp_path / "b.json").as_uri()


@pytest.fixture
def issuers(keys_a: KeyServer, keys_b: str) -> list[dict[str, Any]]:
    return [
        {"issuer": A, "jwks": keys_a.url, "audience": "media"},
        {"issuer": B, "jwks": keys_b, "audience": ["media", "b"], "claims": KEYCLOAK},
    ]


def verifier(issuers: list[dict[str, Any]], **settings: str) -> TokenVerifier:
    config = load({"MEDIA_JWT_ISSUERS": json.dumps(issuers), **settings})
    return TokenVerifier(
        secret=config.jwt_secret,
        jwks=config.jwt_jwks,
        issuer=config.jwt_issuer,
        audience=config.jwt_audience,
        others=config.jwt_issuers,
        admin_claim=config.admin_claim,
    )


async def refused(tokens: TokenVerifier, value: str, why: str = "") -> Reason:
    with pytest.raises(Unauthenticated) as caught:
        await tokens.verify(value)
    assert why in caught.value.message
    return caught.value.reason


def from_a(**changes: Any) -> str:
    return eddsa(KEY_A, "key", **{"iss": A, "aud": "media"} | changes)


def from_b(**changes: Any) -> str:
    return eddsa(KEY_B, "key", **{"iss": B, "aud": "b"} | changes)


def from_secret(**changes: Any) -> str:
    return jwt.encode(claims(**changes), SECRET, "HS256")


async def test_a_user_is_identified_by_issuer_and_subject(issuers: list[dict[str, Any]]) -> None:
    tokens = verifier(issuers, MEDIA_JWT_SECRET=SECRET)
    owners = [(await tokens.verify(value)).owner for value in (from_a(), from_b(), from_secret())]
    assert [owner.id for owner in owners] == [f"{A}|ada", f"{B}|ada", "ada"]


async def test_keys_count_only_for_their_issuer(issuers: list[dict[str, Any]]) -> None:
    tokens = verifier(issuers, MEDIA_JWT_SECRET=SECRET)
    wrong = "its signature is wrong"
    await refused(tokens, eddsa(KEY_B, "key", iss=A, aud="media"), wrong)
    await refused(tokens, eddsa(KEY_A, "key", iss=B, aud="media"), wrong)
    # The secret signs neither for the others, nor for an issuer that nobody configured.
    await refused(tokens, from_secret(iss=A, aud="media"), "its algorithm is not accepted")
    for issuer in ("https://c.example", "ada", "", ["https://a.example"], {"a": 1}, 5):
        named = hmac_signed({"alg": "HS256"}, claims(iss=issuer), SECRET.encode())
        await refused(tokens, named)
    # Nor do keys of another issuer sign for the service's own.
    await refused(tokens, eddsa(KEY_A, "key", aud="media"), "its algorithm is not accepted")
    await refused(tokens, from_a(iss=None))


async def test_without_keys_of_its_own_the_service_accepts_only_listed_issuers(
    issuers: list[dict[str, Any]],
) -> None:
    tokens = verifier(issuers)
    assert await tokens.verify(from_a())
    for value in (from_secret(), from_a(iss="https://c.example"), eddsa(KEY_A, "key", aud="media")):
        await refused(tokens, value, "its issuer (`iss`) is not accepted")


@pytest.mark.parametrize("audience", ["b", ["x", "b"], "", None, []])
async def test_each_issuer_has_its_own_audience(
    issuers: list[dict[str, Any]], audience: Any
) -> None:
    tokens = verifier(issuers)
    assert await tokens.verify(from_b(aud=["b"]))
    assert await refused(tokens, from_a(aud=audience)) is Reason.TOKEN_INVALID


async def test_the_clock_of_an_issuer_may_be_off_by_its_leeway(
    issuers: list[dict[str, Any]],
) -> None:
    issuers[1]["leeway_seconds"] = 0
    tokens, now = verifier(issuers), int(time.time())
    assert await tokens.verify(from_a(exp=now - 5, nbf=now + 5))
    assert await refused(tokens, from_a(exp=now - 40)) is Reason.TOKEN_EXPIRED
    assert await refused(tokens, from_b(exp=now - 5)) is Reason.TOKEN_EXPIRED
    assert await refused(tokens, from_b(nbf=now + 20)) is Reason.TOKEN_INVALID


async def test_an_issuer_may_name_its_claims_otherwise(issuers: list[dict[str, Any]]) -> None:
    stated = {
        "https://claims.example/org": "acme",
        "realm_access": {"roles": ["editor", 5]},
        "org": "other",
        "roles": ["admin"],
        "scope": "openid",
    }
    principal = await verifier(issuers).verify(from_b(**stated))
    assert principal.org_id == "acme"
    assert principal.roles == {"editor"}
    assert principal.scopes is None  # the claim is not read
    plain = await verifier(issuers).verify(from_a(**stated))
    assert (plain.org_id, plain.roles) == ("other", frozenset({"admin"}))
    assert plain.scopes == frozenset({"openid"})


@pytest.mark.parametrize(
    "stated",
    [{"oid": 5}, {"oid": ""}, {}, {"oid": None}, {"oid": "x", "realm_access": {"roles": 5}}],
)
async def test_a_renamed_claim_is_checked_as_well(
    issuers: list[dict[str, Any]], stated: dict[str, Any]
) -> None:
    issuers[1]["claims"] = {**KEYCLOAK, "subject": "oid"}
    tokens = verifier(issuers)
    assert (await tokens.verify(from_b(oid="ada", sub=None))).owner.id == f"{B}|ada"
    assert await refused(tokens, from_b(**stated)) is Reason.TOKEN_INVALID


async def test_users_of_the_configured_issuer_keep_their_names(
    issuers: list[dict[str, Any]],
) -> None:
    tokens = verifier(issuers, MEDIA_JWT_ISSUER=A)
    assert (await tokens.verify(from_a(sub="auth0|ada"))).owner.id == "auth0|ada"
    assert (await tokens.verify(from_b())).owner.id == f"{B}|ada"


async def test_no_subject_looks_like_a_user_of_another_issuer(
    issuers: list[dict[str, Any]],
) -> None:
    for tokens, token in (
        (verifier(issuers, MEDIA_JWT_ISSUER=A), from_a),
        (verifier(issuers, MEDIA_JWT_SECRET=SECRET, MEDIA_JWT_ISSUER="us"), from_secret),
    ):
        await refused(tokens, token(sub=f"{B}|ada", iss=A if token is from_a else "us"), "`sub`")
    tokens = verifier(issuers, MEDIA_JWT_SECRET=SECRET)
    await refused(tokens, from_secret(sub=f"{B}|ada"))


async def test_a_rotated_key_ends_only_the_tokens_of_its_issuer(
    issuers: list[dict[str, Any]], keys_a: KeyServer
) -> None:
    tokens = verifier(issuers)
    a, b = from_a(), from_b()
    assert await tokens.verify(a)
    assert await tokens.verify(b)
    new = ed25519.Ed25519PrivateKey.generate()
    keys_a.give(jwk(new, "new"))
    found = tokens._others[A].keys
    assert found
    found._loaded -= UNKNOWN_KEY_SECONDS + 1
    assert await tokens.verify(eddsa(new, "new", iss=A, aud="media"))
    assert await refused(tokens, a) is Reason.TOKEN_INVALID
    assert await tokens.verify(b)


async def test_an_issuer_whose_keys_cannot_be_read_does_not_affect_others(
    issuers: list[dict[str, Any]], keys_a: KeyServer
) -> None:
    keys_a.answer = lambda: (500, b"")
    tokens = verifier(issuers)
    with pytest.raises(MediaError) as caught:
        await tokens.verify(from_a())
    assert caught.value.reason is Reason.KEYS_UNAVAILABLE
    assert A in caught.value.message
    assert await tokens.verify(from_b())


@pytest.mark.parametrize(
    ("setting", "administrators"),
    [
        ("", set()),
        ("roles=admin", {"own"}),
        (f"{A} roles=admin", {"a"}),
        (f"{B} groups=admin", {"b"}),
        (f"{A} roles=other", set()),
    ],
)
async def test_only_the_mapped_claim_makes_an_administrator(
    issuers: list[dict[str, Any]], setting: str, administrators: set[str]
) -> None:
    tokens = verifier(issuers, MEDIA_JWT_SECRET=SECRET, MEDIA_ADMIN_CLAIM=setting)
    stated = {"roles": ["admin"], "groups": "admin", "administrator": True}
    values = {"own": from_secret(**stated), "a": from_a(**stated), "b": from_b(**stated)}
    found = {name for name, value in values.items() if (await tokens.verify(value)).administrator}
    assert found == administrators


async def test_tokens_of_any_issuer_make_no_administrator() -> None:
    """A key without a configured issuer may sign for many, such as the tenants of a provider."""
    tokens = TokenVerifier(
        secret=SECRET,
        jwks="",
        issuer="",
        audience="",
        admin_claim=load({"MEDIA_ADMIN_CLAIM": "roles=admin"}).admin_claim,
    )
    assert (await tokens.verify(from_secret(roles=["admin"]))).administrator
    assert not (await tokens.verify(from_secret(iss="them", roles=["admin"]))).administrator


# The setting


TOML = """
[[issuers]]
issuer = "https://a.example"
jwks = "https://a.example/keys"
audience = "media"
leeway_seconds = 5

[issuers.claims]
organization = "org_id"
"""


def test_the_issuers_are_read_from_text_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "issuers.toml").write_text(TOML)
    (issuer,) = load({"MEDIA_JWT_ISSUERS": str(tmp_path / "issuers.toml")}).jwt_issuers
    assert (issuer.issuer, issuer.audience, issuer.leeway_seconds) == (A, ("media",), 5)
    assert (issuer.claims.organization, issuer.claims.subject) == ("org_id", "sub")
    table = {
        "issuer": A,
        "jwks": "https://a.example/keys",
        "audience": ["media"],
        "leeway_seconds": 5,
        "claims": {"organization": "org_id"},
    }
    for text in (TOML, json.dumps([table]), json.dumps({"issuers": [table]})):
        assert load({"MEDIA_JWT_ISSUERS": text}).jwt_issuers == (issuer,)


GOOD = {"issuer": A, "jwks": "https://a.example/keys", "audience": "media"}


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([], "1 to 100 issuers"),
        ([GOOD] * 101, "1 to 100 issuers"),
        ([GOOD, GOOD], "no issuer occurs twice"),
        ([5], "issuers[0] is a table"),
        ([GOOD | {"issuer": "a.example"}], "issuers[0].issuer is a URL"),
        ([GOOD | {"issuer": "https://a|b"}], "issuers[0].issuer is a URL"),
        ([GOOD | {"issuer": 5}], "issuers[0].issuer is a string"),
        ([GOOD | {"jwks": "keys.json"}], "issuers[0].jwks is a URL"),
        ([GOOD | {"jwks": "https://me:hush@a.example/keys"}], "without a user name"),
        ([GOOD | {"audience": ""}], "issuers[0].audience"),
        ([GOOD | {"audience": []}], "issuers[0].audience"),
        ([{"issuer": A, "jwks": GOOD["jwks"]}], "issuers[0].audience"),
        ([GOOD | {"leeway_seconds": 301}], "from 0 to 300"),
        ([GOOD | {"leeway_seconds": True}], "from 0 to 300"),
        ([GOOD | {"audiences": "x"}], "did you mean audience?"),
        ([GOOD | {"claims": {"organisation": "o"}}], "did you mean organization?"),
        ([GOOD | {"claims": {"subject": ""}}], "issuers[0].claims has names"),
        ([GOOD | {"claims": {"roles": 5}}], "issuers[0].claims has names"),
        ([GOOD | {"secret": "hush"}], "the names are issuer, jwks"),
    ],
)
def test_an_invalid_issuer_is_named(entries: list[Any], why: str) -> None:
    with pytest.raises(ConfigError, match=r"^MEDIA_JWT_ISSUERS: ") as caught:
        load({"MEDIA_JWT_ISSUERS": json.dumps(entries)})
    assert why in str(caught.value)
    assert "hush" not in str(caught.value)


def test_two_places_cannot_say_how_the_configured_issuer_is_verified() -> None:
    settings = {"MEDIA_JWT_ISSUERS": json.dumps([GOOD]), "MEDIA_JWT_ISSUER": A}
    assert load(settings)
    for name, value in {"SECRET": SECRET, "JWKS": "https://a/", "AUDIENCE": "media"}.items():
        with pytest.raises(ConfigError, match=f"MEDIA_JWT_{name} must be empty"):
            load({**settings, f"MEDIA_JWT_{name}": value})


@pytest.mark.parametrize("text", ["admin", "=admin", "roles=", "https://c.example roles=admin"])
def test_an_invalid_admin_claim_prevents_startup(text: str) -> None:
    with pytest.raises(ConfigError, match="MEDIA_ADMIN_CLAIM"):
        load({"MEDIA_ADMIN_CLAIM": text})
