"""Order and page tokens of lists."""

import base64
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media_service.access.owner import Owner
from media_service.errors import InvalidArgument, Reason
from media_service.media.paging import (
    SORTABLE,
    Key,
    after_sql,
    decode_token,
    encode_token,
    fingerprint,
    order_sql,
    parse_order,
)

QUERY = fingerprint(Owner("user", "ada"), "kind=IMAGE", "size_bytes", False)
TYPES = [datetime, int, str, UUID]
VALUES = [datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC), 5, "größe.jpg", UUID(int=7)]


def raw(token: bytes) -> str:
    return base64.urlsafe_b64encode(token).decode().rstrip("=")


def refused(token: str, query: str = QUERY, types: list[type] = TYPES) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode_token(token, query, types)
    assert caught.value.reason is Reason.INVALID_PAGE_TOKEN
    assert caught.value.fields[0][0] == "page_token"


# Order


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("", "m.create_time desc, m.media_id desc"),
        ("  ", "m.create_time desc, m.media_id desc"),
        ("size_bytes", "m.size_bytes, m.media_id"),
        ("size_bytes asc", "m.size_bytes, m.media_id"),
        (" size_bytes  desc , filename", "m.size_bytes desc, m.filename, m.media_id"),
        ("filename desc", "m.filename desc, m.media_id desc"),
    ],
)
def test_an_order_ends_with_the_id(text: str, sql: str) -> None:
    assert order_sql(parse_order(text)) == sql


@pytest.mark.parametrize(
    "text",
    [
        "owner_id",
        "size_bytes down",
        "size_bytes desc desc",
        "size_bytes DESC",
        "size_bytes,size_bytes desc",
        "size_bytes,",
        ",",
        "media_id",
        "size_bytes; drop table media",
        "m.size_bytes",
    ],
)
def test_another_order_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_order(text)
    assert caught.value.reason is Reason.INVALID_ORDER_BY
    assert "create_time, update_time, size_bytes, filename" in caught.value.message


def test_after_a_row_comes_what_differs_first_in_the_right_direction() -> None:
    after = after_sql([Key("size_bytes", descending=True), Key("media_id", False)], [5, "id"])
    assert after.sql == "((m.size_bytes < %s) or (m.size_bytes = %s and m.media_id > %s))"
    assert after.params == (5, 5, "id")


# Tokens


def test_a_token_brings_its_values_back() -> None:
    assert decode_token(encode_token(QUERY, VALUES), QUERY, TYPES) == VALUES


@given(
    st.datetimes(timezones=st.just(UTC)), st.integers(-(2**63), 2**63 - 1), st.text(), st.uuids()
)
def test_any_values_come_back(time: datetime, size: int, name: str, uid: UUID) -> None:
    values = [time, size, name.replace("\0", ""), uid]
    assert decode_token(encode_token(QUERY, values), QUERY, TYPES) == values


@pytest.mark.parametrize("name", ["ж" * 127, "🙂" * 63, '"' * 255, "a" * 255])
def test_a_token_is_short_enough_to_be_sent_back(name: str) -> None:
    """The contract takes 1000 characters."""
    keys = parse_order(",".join(SORTABLE))
    values = [VALUES[0], VALUES[0], 2**62, name, str(UUID(int=2**127))]
    assert len(keys) == len(values)
    assert len(encode_token(QUERY, values)) <= 1000


@pytest.mark.parametrize(
    "query",
    [
        fingerprint(Owner("user", "eve"), "kind=IMAGE", "size_bytes", False),
        fingerprint(Owner("user", "ada", "org"), "kind=IMAGE", "size_bytes", False),
        fingerprint(Owner("user", "ada"), "kind=VIDEO", "size_bytes", False),
        fingerprint(Owner("user", "ada"), "kind=IMAGE", "size_bytes desc", False),
        fingerprint(Owner("user", "ada"), "kind=IMAGE", "size_bytes", True),
    ],
)
def test_a_token_is_bound_to_its_query(query: str) -> None:
    refused(encode_token(QUERY, VALUES), query)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "????",
        "a b",
        "é",
        "\0",
        "=" * 20,
        "A" * 1000,
        raw(b""),
        raw(b"\xff\xfe"),
        raw(b"null"),
        raw(b"5"),
        raw(b"[]"),
        raw(b"{}"),
        raw(b'{"a":1,"b":2}'),
        raw(b"[" * 750),
        raw(b"[" * 100_000),
        raw(b"9" * 5000),
    ],
)
def test_garbage_is_no_token(token: str) -> None:
    refused(token)


def test_garbage_deep_in_a_call_is_no_token() -> None:
    def deep(levels: int) -> None:
        if levels:
            deep(levels - 1)
        else:
            refused(raw(b"[" * 750))

    deep(400)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, "Infinity"),
        (int, "NaN"),
        (int, "1.5"),
        (int, "true"),
        (int, '"5"'),
        (int, "null"),
        (int, "9223372036854775808"),
        (UUID, "5"),
        (UUID, "null"),
        (UUID, '"not an id"'),
        (datetime, "5"),
        (datetime, '"yesterday"'),
        (str, "5"),
        (str, "null"),
        (str, '{"a": 1}'),
        (str, r'"\u0000"'),
        (str, r'"\ud800"'),
    ],
)
def test_a_value_of_another_kind_is_refused_though_the_query_is_right(
    kind: type, value: str
) -> None:
    refused(raw(f'["{QUERY}", [{value}]]'.encode()), types=[kind])


@pytest.mark.parametrize("values", [[], VALUES[:3], [*VALUES, 1]])
def test_another_number_of_values_is_refused(values: list[Any]) -> None:
    refused(encode_token(QUERY, values))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)


@settings(max_examples=300)
@given(
    st.one_of(
        st.text(max_size=100),
        st.binary(max_size=100).map(raw),
        JSON.map(lambda value: raw(json.dumps(value).encode())),
        st.lists(JSON, max_size=5).map(lambda v: raw(json.dumps(["another", v]).encode())),
    )
)
def test_any_other_token_is_refused(token: str) -> None:
    refused(token)


@settings(max_examples=200)
@given(st.lists(JSON, min_size=4, max_size=4))
def test_made_up_values_are_of_the_right_kinds_or_refused(values: list[Any]) -> None:
    token = raw(json.dumps([QUERY, values]).encode())
    try:
        found = decode_token(token, QUERY, TYPES)
    except InvalidArgument as error:
        assert error.reason is Reason.INVALID_PAGE_TOKEN  # noqa: PT017
    else:
        assert [type(value) for value in found] == TYPES
