"""Bearer tokens: which are valid, and which are refused."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from media_service.access.access_tokens import MAX_TOKEN, TokenVerifier
from media_service.access.key_set import (
    KEY_LIFETIME_SECONDS,
    REFRESH_SECONDS,
    RETRY_SECONDS,
    UNKNOWN_KEY_SECONDS,
)
from media_service.access.principal import Principal
from media_service.errors import MediaError, Reason, Unauthenticated, Unavailable
from tests.support.key_server import KeyServer, claims, handmade, hmac_signed, jwk
from tests.support.key_server import key_server as serve_keys

SECRET = "a secret of thirty-two bytes, ok!"
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
OTHER = ed25519.Ed25519PrivateKey.generate()
PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


JWKS = {"keys": [jwk(RSA, "rsa"), jwk(EC, "ec"), jwk(ED, "ed")]}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in claims().items() if key != name}


def token(
    payload: dict[str, Any] | None = None,
    key: Any = SECRET,
    algorithm: str = "HS256",
    **header: Any,
) -> str:
    return jwt.encode(payload or claims(), key, algorithm, headers=header)


def verifier(
    *, secret: str = SECRET, jwks: str = "", issuer: str = "", audience: str = ""
) -> TokenVerifier:
    return TokenVerifier(secret=secret, jwks=jwks, issuer=issuer, audience=audience)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key set.json"
    path.write_text(json.dumps(JWKS))
    return path


async def refused(tokens: TokenVerifier, value: str) -> Reason:
    with pytest.raises(Unauthenticated) as caught:
        await tokens.verify(value)
    return caught.value.reason


# Claims


async def test_a_token_identifies_its_user() -> None:
    assert await verifier().verify(token()) == Principal("ada")


async def test_a_token_has_organization_roles_and_scope() -> None:
    stated = claims(org="acme", roles=["admin", "editor"], scope="media.read  upload.*")
    assert await verifier().verify(token(stated)) == Principal(
        "ada", "acme", frozenset({"admin", "editor"}), frozenset({"media.read", "upload.*"})
    )


async def test_an_empty_scope_grants_no_permission() -> None:
    assert not (await verifier().verify(token(claims(scope="")))).holds("media.read")


@pytest.mark.parametrize("name", ["sub", "exp"])
async def test_sub_and_exp_are_required(name: str) -> None:
    assert await refused(verifier(), token(without(name))) is Reason.TOKEN_INVALID


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": ""},
        {"sub": 5},
        {"sub": None},
        {"sub": ["ada"]},
        {"exp": "soon"},
        {"exp": None},
        {"exp": [1]},
        {"exp": {}},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"nbf": "soon"},
        {"iat": "yesterday"},
        {"org": 5},
        {"org": None},
        {"org": ["acme"]},
        {"roles": "admin"},
        {"roles": {"admin": True}},
        {"scope": ["media.read", 5]},
        {"scope": 5},
        {"exp": 10**400},
        {"nbf": 10**400},
        {"iat": 10**400},
        {"sub": "a\0b"},
        {"sub": "\ud800"},
        {"org": "a\0b"},
        {"org": "\udfff"},
        {"iss": "a\0b"},
        {"sub": "x" * 513},
        {"iss": "x" * 256, "sub": "x" * 256},
        {"org": "x" * 256},
        {"sub": "\U0001f3d6" * 400, "org": "\U0001f3d6" * 200},
    ],
)
async def test_a_claim_of_another_type_is_refused(changes: dict[str, Any]) -> None:
    signed = hmac_signed({"alg": "HS256"}, claims(**changes), SECRET.encode())
    assert await refused(verifier(), signed) is Reason.TOKEN_INVALID


async def test_the_longest_user_is_accepted() -> None:
    stated = claims(iss="i" * 255, sub="s" * 256, org="o" * 255, roles=["a", 5, {}, "\0"])
    principal = await verifier().verify(token(stated))
    assert (len(principal.owner.id), len(principal.owner.org_id)) == (512, 255)
    assert principal.roles == {"a", "\0"}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (token(key="another secret of 32 bytes or more"), "its signature is wrong"),
        (token(claims(nbf=int(time.time()) + 600)), "it is not valid yet (`nbf`, `iat`)"),
        (token(without("exp")), "it lacks a claim that is required, such as `sub` or `exp`"),
        (token(claims(iss="them")), "its issuer (`iss`) is not accepted"),
        ("a.b.c", "it is not a JSON Web Token, or a time in it is not a number"),
        (handmade(b"[" * 6000), "it is not a JSON Web Token, or a time in it is not a number"),
    ],
)
async def test_a_refusal_is_not_in_the_words_of_a_library(value: str, why: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await verifier(issuer="us" if "issuer" in why else "").verify(value)
    assert caught.value.message == f"The token is not valid: {why}."


async def test_an_expired_token_has_its_own_reason() -> None:
    assert await refused(verifier(), token(claims(exp=int(time.time()) - 60))) is (
        Reason.TOKEN_EXPIRED
    )


async def test_small_clock_differences_are_tolerated() -> None:
    assert await verifier().verify(token(claims(exp=int(time.time()) - 5)))
    assert await verifier().verify(token(claims(nbf=int(time.time()) + 5)))


async def test_a_token_that_is_not_valid_yet_is_refused() -> None:
    early = token(claims(nbf=int(time.time()) + 600))
    assert await refused(verifier(), early) is Reason.TOKEN_INVALID


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({"iss": "us", "aud": "media"}, True),
        ({"iss": "us", "aud": ["other", "media"]}, True),
        ({"iss": "them", "aud": "media"}, False),
        ({"iss": "us", "aud": "other"}, False),
        ({"iss": "us"}, False),
        ({"aud": "media"}, False),
    ],
)
async def test_issuer_and_audience_are_checked_when_configured(
    changes: dict[str, Any], good: bool
) -> None:
    tokens, value = verifier(issuer="us", audience="media"), token(claims(**changes))
    if good:
        assert await tokens.verify(value)
    else:
        assert await refused(tokens, value) is Reason.TOKEN_INVALID


async def test_issuer_and_audience_are_ignored_when_not_configured() -> None:
    assert await verifier().verify(token(claims(iss="anyone", aud="anything")))


async def test_a_user_is_identified_by_issuer_and_subject() -> None:
    """A bare subject identifies users of the configured issuer, and of tokens without an issuer."""
    other = await verifier().verify(token(claims(iss="https://other.example")))
    assert other.owner.id == "https://other.example|ada"
    assert (await verifier().verify(token())).owner.id == "ada"
    configured = verifier(issuer="https://us.example")
    ours = await configured.verify(token(claims(iss="https://us.example", sub="auth0|ada")))
    assert ours.owner.id == "auth0|ada"


@pytest.mark.parametrize("changes", [{"iss": "a|b", "sub": "c"}, {"sub": "a|b"}])
async def test_a_user_cannot_impersonate_a_user_of_another_issuer(changes: dict[str, Any]) -> None:
    assert await refused(verifier(), token(claims(**changes))) is Reason.TOKEN_INVALID


# Signatures


async def test_a_token_signed_with_another_secret_is_refused() -> None:
    wrong = token(key="another secret of 32 bytes or more")
    assert await refused(verifier(), wrong) is Reason.TOKEN_INVALID


async def test_a_changed_payload_is_refused() -> None:
    header, _, signature = token().split(".")
    _, payload, _ = token(claims(sub="eve")).split(".")
    assert await refused(verifier(), f"{header}.{payload}.{signature}") is Reason.TOKEN_INVALID


@pytest.mark.parametrize(
    ("key", "algorithm", "key_id"),
    [(RSA, "RS256", "rsa"), (EC, "ES256", "ec"), (ED, "EdDSA", "ed")],
)
async def test_public_keys_are_read_from_a_file(
    key_file: Path, key: Any, algorithm: str, key_id: str
) -> None:
    tokens = verifier(secret="", jwks=key_file.as_uri())
    assert await tokens.verify(token(None, key, algorithm, kid=key_id)) == Principal("ada")
    assert await refused(tokens, token(None, key, algorithm, kid="other")) is Reason.TOKEN_INVALID
    assert await refused(tokens, token(None, key, algorithm)) is Reason.TOKEN_INVALID


async def test_a_token_can_omit_the_id_of_the_only_key(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(json.dumps({"keys": [jwk(ED, "ed")]}))
    tokens = verifier(jwks=(tmp_path / "keys").as_uri())
    assert await tokens.verify(token(None, ED, "EdDSA"))
    assert await tokens.verify(token())  # the secret is valid alongside the key set
    assert await refused(tokens, token(None, OTHER, "EdDSA")) is Reason.TOKEN_INVALID


async def test_a_public_key_is_not_accepted_as_an_hmac_secret(key_file: Path) -> None:
    """The classic confusion: HS256 signed with the public key."""
    coordinate = JWKS["keys"][2]["x"].encode()
    for key_id, secret in [("rsa", PEM), ("rsa", PEM.strip()), ("ed", coordinate)]:
        forged = hmac_signed({"alg": "HS256", "kid": key_id}, claims(), secret)
        for own_secret in (SECRET, ""):
            tokens = verifier(secret=own_secret, jwks=key_file.as_uri())
            assert await refused(tokens, forged) is Reason.TOKEN_INVALID


async def test_a_key_verifies_only_its_own_algorithm(key_file: Path) -> None:
    tokens = verifier(jwks=key_file.as_uri())
    for key, algorithm, key_id in ((RSA, "RS256", "ec"), (EC, "ES256", "ed"), (ED, "EdDSA", "rsa")):
        crossed = token(None, key, algorithm, kid=key_id)
        assert await refused(tokens, crossed) is Reason.TOKEN_INVALID


@pytest.mark.parametrize("algorithm", ["HS384", "HS512", "none"])
async def test_other_algorithms_are_refused(key_file: Path, algorithm: str) -> None:
    value = token(None, None if algorithm == "none" else SECRET * 2, algorithm)
    assert await refused(verifier(jwks=key_file.as_uri()), value) is Reason.TOKEN_INVALID


async def test_other_algorithms_of_a_known_key_are_refused(key_file: Path) -> None:
    for algorithm in ("RS384", "PS256"):
        value = token(None, RSA, algorithm, kid="rsa")
        assert await refused(verifier(jwks=key_file.as_uri()), value) is Reason.TOKEN_INVALID


async def test_public_keys_need_a_key_set() -> None:
    assert await refused(verifier(), token(None, RSA, "RS256")) is Reason.TOKEN_INVALID


def test_a_verifier_needs_at_least_one_key() -> None:
    with pytest.raises(ValueError, match="MEDIA_JWT_SECRET, MEDIA_JWT_JWKS or MEDIA_JWT_ISSUERS"):
        verifier(secret="")


# Malformed tokens


@pytest.mark.parametrize(
    "value",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "é.é.é",
        "\0",
        "Bearer x",
        "a" * (MAX_TOKEN + 1),
        "." * MAX_TOKEN,
        handmade(b"[]"),
        handmade(b"5"),
        handmade(b"null"),
        handmade(b"{}"),
        handmade(b'{"alg":null}'),
        handmade(b'{"alg":5}'),
        handmade(b'{"alg":["HS256"]}'),
        handmade(b'{"alg":{"HS256":1}}'),
        handmade(b'{"alg":"HS256","kid":5}'),
        handmade(b'{"alg":"RS256","kid":["rsa"]}'),
        handmade(b'{"alg":"HS256","crit":["exp"]}'),
        handmade(b'{"alg":"HS256","b64":false}'),
        handmade(b"[" * 6000),
        handmade(b'{"alg":' + b"9" * 5000 + b"}"),
        handmade(b"\xff\xfe"),
        handmade(b'{"alg":"HS256"}', b"[" * 4000),
    ],
)
async def test_malformed_tokens_are_refused(key_file: Path, value: str) -> None:
    assert await refused(verifier(jwks=key_file.as_uri()), value) is Reason.TOKEN_INVALID


async def test_a_valid_token_that_is_too_long_is_refused() -> None:
    long = token(claims(roles=["x" * MAX_TOKEN]))
    assert await refused(verifier(), long) is Reason.TOKEN_INVALID


@settings(max_examples=200)
@given(
    st.one_of(
        st.text(max_size=100),
        st.dictionaries(
            st.sampled_from(["alg", "kid", "typ", "crit", "b64"]),
            st.none()
            | st.integers()
            | st.sampled_from(["HS256", "RS256", "none"])
            | st.lists(st.text()),
        ).map(lambda header: handmade(json.dumps(header).encode())),
    )
)
async def test_any_other_text_is_refused(value: str) -> None:
    assert await refused(verifier(), value) is Reason.TOKEN_INVALID


# Cache


async def test_a_verified_token_is_cached() -> None:
    tokens, value = verifier(), token()
    assert await tokens.verify(value) is await tokens.verify(value)


async def test_a_token_is_not_cached_beyond_its_expiry(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, ahead = time.time, 0
    monkeypatch.setattr(time, "time", lambda: clock() + ahead)
    tokens, value = verifier(), token(claims(exp=int(time.time()) + 600))
    first = await tokens.verify(value)
    assert await tokens.verify(value) is first
    ahead = 700
    assert await tokens.verify(value) is not first  # read again, by a library with its own clock


async def test_refused_tokens_are_not_cached() -> None:
    tokens = verifier()
    await refused(tokens, "a.b.c")
    assert len(tokens._verified) == 0


# Keys from a server


@pytest.fixture
def key_server() -> Iterator[KeyServer]:
    with serve_keys() as server:
        yield server


def age(tokens: TokenVerifier, seconds: float) -> None:
    """Pretends that the keys were read this long ago."""
    assert tokens._own
    assert tokens._own.keys
    tokens._own.keys._loaded -= seconds


async def test_keys_are_fetched_once(key_server: KeyServer) -> None:
    key_server.give(*JWKS["keys"])
    tokens = verifier(secret="", jwks=key_server.url)
    for key, algorithm, key_id in ((RSA, "RS256", "rsa"), (EC, "ES256", "ec"), (ED, "EdDSA", "ed")):
        assert await tokens.verify(token(None, key, algorithm, kid=key_id))
    assert key_server.calls == 1


async def test_a_new_key_is_fetched(key_server: KeyServer) -> None:
    key_server.give(jwk(ED, "old"))
    tokens = verifier(secret="", jwks=key_server.url)
    assert await tokens.verify(token(None, ED, "EdDSA", kid="old"))
    key_server.give(jwk(OTHER, "new"))
    new = token(None, OTHER, "EdDSA", kid="new")
    assert await refused(tokens, new) is Reason.TOKEN_INVALID  # asked less than 10 s ago
    assert key_server.calls == 1
    age(tokens, UNKNOWN_KEY_SECONDS + 1)
    assert await tokens.verify(new)
    assert key_server.calls == 2


async def test_a_removed_key_ends_its_tokens_at_the_next_refresh(key_server: KeyServer) -> None:
    key_server.give(jwk(ED, "old"), jwk(EC, "kept"))
    tokens = verifier(jwks=key_server.url)
    old, kept = token(None, ED, "EdDSA", kid="old"), token(None, EC, "ES256", kid="kept")
    for value in (old, kept, token()):
        assert await tokens.verify(value)
    key_server.give(jwk(EC, "kept"))
    age(tokens, KEY_LIFETIME_SECONDS + 1)
    assert await refused(tokens, old) is Reason.TOKEN_INVALID
    assert await tokens.verify(kept)
    assert await tokens.verify(token())
    assert key_server.calls == 2


async def test_a_replaced_key_ends_its_tokens_at_the_next_refresh(key_server: KeyServer) -> None:
    key_server.give(jwk(ED, "same name"))
    tokens, value = verifier(jwks=key_server.url), token(None, ED, "EdDSA", kid="same name")
    assert await tokens.verify(value)
    key_server.give(jwk(OTHER, "same name"))
    age(tokens, KEY_LIFETIME_SECONDS + 1)
    assert await refused(tokens, value) is Reason.TOKEN_INVALID


async def test_a_refresh_for_an_unknown_key_ends_tokens_of_removed_keys(
    key_server: KeyServer,
) -> None:
    key_server.give(jwk(ED, "old"))
    tokens, old = verifier(jwks=key_server.url), token(None, ED, "EdDSA", kid="old")
    assert await tokens.verify(old)
    key_server.give(jwk(OTHER, "new"))
    age(tokens, UNKNOWN_KEY_SECONDS + 1)
    assert await tokens.verify(token(None, OTHER, "EdDSA", kid="new"))
    assert await refused(tokens, old) is Reason.TOKEN_INVALID


async def test_without_any_key_no_token_is_valid(key_server: KeyServer) -> None:
    key_server.give(jwk(ED, "ed"))
    tokens, value = verifier(jwks=key_server.url), token(None, ED, "EdDSA", kid="ed")
    assert await tokens.verify(value)
    key_server.give()
    age(tokens, KEY_LIFETIME_SECONDS + 1)
    with pytest.raises(Unavailable) as caught:
        await tokens.verify(value)
    assert caught.value.reason is Reason.KEYS_UNAVAILABLE


async def test_callers_do_not_wait_for_a_slow_key_server(key_server: KeyServer) -> None:
    """Not even while somebody sends tokens with unknown keys."""
    key_server.give(jwk(ED, "ed"))
    tokens, value = verifier(jwks=key_server.url), token(None, ED, "EdDSA", kid="ed")
    assert await tokens.verify(value)
    answer, release = key_server.answer, threading.Event()

    def slow() -> tuple[int, bytes]:
        release.wait(20)
        return answer()

    key_server.answer = slow
    age(tokens, REFRESH_SECONDS + 1)
    unknown = token(None, OTHER, "EdDSA", kid="unknown")
    waiting = asyncio.create_task(refused(tokens, unknown))
    while key_server.calls < 2:
        assert await tokens.verify(value)
        await asyncio.sleep(0)
    assert await tokens.verify(value)
    assert not waiting.done()
    release.set()
    assert await waiting is Reason.TOKEN_INVALID
    assert key_server.calls == 2


async def test_unknown_keys_do_not_trigger_a_fetch_each_time(key_server: KeyServer) -> None:
    key_server.give(jwk(ED, "ed"))
    tokens = verifier(secret="", jwks=key_server.url)
    for number in range(20):
        await refused(tokens, token(None, OTHER, "EdDSA", kid=f"made up {number}"))
    assert key_server.calls == 1


async def test_keys_are_refreshed_periodically(key_server: KeyServer) -> None:
    key_server.give(jwk(ED, "ed"))
    tokens = verifier(secret="", jwks=key_server.url)
    assert await tokens.verify(token(None, ED, "EdDSA", kid="ed"))
    age(tokens, KEY_LIFETIME_SECONDS + 1)
    assert await tokens.verify(token(claims(sub="eve"), ED, "EdDSA", kid="ed"))
    assert key_server.calls == 2


@pytest.mark.parametrize(
    "answer",
    [
        (500, b""),
        (200, b"no json"),
        (200, b"[]"),
        (200, b'{"keys": []}'),
        (200, b"{}"),
        (200, b"[" * 100_000),
    ],
)
async def test_an_unusable_key_server_is_unavailable(
    key_server: KeyServer, answer: tuple[int, bytes]
) -> None:
    key_server.answer = lambda: answer
    tokens = verifier(secret="", jwks=key_server.url)
    with pytest.raises(Unavailable) as caught:
        await tokens.verify(token(None, ED, "EdDSA", kid="ed"))
    assert caught.value.reason is Reason.KEYS_UNAVAILABLE
    key_server.give(jwk(ED, "ed"))
    calls = key_server.calls
    with pytest.raises(Unavailable):  # at once: callers do not queue up to wait for it
        await tokens.verify(token(None, ED, "EdDSA", kid="ed"))
    assert key_server.calls == calls
    age(tokens, RETRY_SECONDS + 1)
    assert await tokens.verify(token(None, ED, "EdDSA", kid="ed"))


async def test_known_keys_are_kept_while_the_key_server_fails(key_server: KeyServer) -> None:
    key_server.give(jwk(ED, "ed"))
    tokens = verifier(secret="", jwks=key_server.url)
    assert await tokens.verify(token(None, ED, "EdDSA", kid="ed"))
    key_server.answer = lambda: (500, b"")
    age(tokens, KEY_LIFETIME_SECONDS + 1)
    assert await tokens.verify(token(claims(sub="eve"), ED, "EdDSA", kid="ed"))


@pytest.mark.parametrize(
    "content", [None, "", "no json", "[]", "5", '{"keys": 5}', '{"keys": [5]}']
)
async def test_an_unusable_key_file_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(MediaError) as caught:
        await verifier(jwks=path.as_uri()).verify(token(None, ED, "EdDSA", kid="ed"))
    assert caught.value.reason is Reason.KEYS_UNAVAILABLE
