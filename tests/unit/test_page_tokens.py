"""Page tokens carry their values, and are valid only for the list they came from."""

import base64
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media_service.access.owner import Owner
from media_service.access.page_tokens import PageTokens
from media_service.errors import InvalidArgument, Reason
from media_service.media.paging import MAX_KEYS

ADA = Owner("user", "ada")
QUERY = ("media", ADA, "kind=IMAGE", "size_bytes", False)
TYPES = [datetime, int, str, UUID]
VALUES = [datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC), 5, "größe.jpg", UUID(int=7)]
TOKENS = PageTokens(["a secret"])


def raw(token: bytes) -> str:
    return base64.urlsafe_b64encode(token).decode().rstrip("=")


def refused(
    token: str,
    query: tuple[object, ...] = QUERY,
    types: list[type] = TYPES,
    tokens: PageTokens = TOKENS,
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        tokens.open(query, token, types)
    assert caught.value.reason is Reason.INVALID_PAGE_TOKEN
    assert caught.value.fields[0][0] == "page_token"


@given(
    st.datetimes(timezones=st.just(UTC)),
    st.integers(-(2**63), 2**63 - 1),
    st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    st.uuids(),
)
def test_values_round_trip(time: datetime, size: int, name: str, uid: UUID) -> None:
    values = [time, size, name, uid]
    assert TOKENS.open(QUERY, TOKENS.seal(QUERY, values), TYPES) == values


@pytest.mark.parametrize("name", ["ж" * 127, "🙂" * 63, '"' * 255, "a" * 255])
def test_a_page_token_fits_in_a_request(name: str) -> None:
    """The contract allows 2000 characters."""
    values = [VALUES[0], VALUES[0], name, name[:200], str(UUID(int=2**127))]
    assert len(values) == MAX_KEYS + 1
    assert len(TOKENS.seal(QUERY, values)) <= 2000


def test_a_page_token_reveals_nothing() -> None:
    token = TOKENS.seal(QUERY, VALUES)
    plain = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert "größe".encode() not in plain
    assert b"2026" not in plain
    assert TOKENS.seal(QUERY, VALUES) != token


@pytest.mark.parametrize(
    "query",
    [
        ("uploads", ADA, "kind=IMAGE", "size_bytes", False),
        ("media", Owner("user", "eve"), "kind=IMAGE", "size_bytes", False),
        ("media", Owner("user", "ada", "org"), "kind=IMAGE", "size_bytes", False),
        ("media", ADA, "kind=VIDEO", "size_bytes", False),
        ("media", ADA, "kind=IMAGE", "size_bytes desc", False),
        ("media", ADA, "kind=IMAGE", "size_bytes", True),
    ],
)
def test_a_page_token_is_bound_to_its_query(query: tuple[object, ...]) -> None:
    refused(TOKENS.seal(QUERY, VALUES), query)


def test_keys_of_page_tokens_can_be_rotated() -> None:
    token = TOKENS.seal(QUERY, VALUES)
    both = PageTokens(["new", "a secret"])
    assert both.open(QUERY, token, TYPES) == VALUES
    refused(both.seal(QUERY, VALUES))
    refused(token, tokens=PageTokens(["new"]))


@pytest.mark.parametrize("at", [0, 12, -1])
def test_a_changed_page_token_is_refused(at: int) -> None:
    token = TOKENS.seal(QUERY, VALUES)
    sealed = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    sealed[at] ^= 1
    refused(raw(bytes(sealed)))


@pytest.mark.parametrize(
    "token", ["", "x", "????", "a b", "é", "\0", "=" * 20, "A" * 1000, raw(b""), raw(b"\xff\xfe")]
)
def test_malformed_tokens_are_refused(token: str) -> None:
    refused(token)


@settings(max_examples=300)
@given(
    st.one_of(
        st.text(max_size=100),
        st.binary(max_size=100).map(raw),
        st.just(raw(json.dumps([*QUERY], default=str).encode())),
    )
)
def test_any_other_page_token_is_refused(token: str) -> None:
    refused(token)


@pytest.mark.parametrize("values", [[], VALUES[:3], [*VALUES, 1], ["yesterday", *VALUES[1:]]])
def test_values_of_another_release_are_refused(values: list[Any]) -> None:
    refused(TOKENS.seal(QUERY, values))
