"""Conditional and range requests as RFC 9110 specifies them."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media_service.downloads.conditional_requests import Selection, evaluate, http_date, parse_range
from media_service.downloads.service import resolve
from media_service.errors import Aborted, OutOfRange, Reason

ETAG = '"abc"'
SIZE = 1000
MODIFIED = datetime(2026, 1, 2, 3, 4, 5, 999_999, tzinfo=UTC)
SAME, BEFORE, AFTER = (f"Fri, 02 Jan 2026 03:04:{second} GMT" for second in ("05", "04", "06"))
WHOLE = Selection(200, 0, SIZE)
NOT_MODIFIED = Selection(304, 0, 0)


def answer(size: int = SIZE, **headers: str) -> Selection | int:
    """The selection, or the status of the refusal."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        return evaluate(named, ETAG, MODIFIED, size)
    except Aborted as error:
        assert error.reason is Reason.PRECONDITION_FAILED  # noqa: PT017
        return 412
    except OutOfRange as error:
        assert error.metadata == {"complete_size_bytes": str(size)}  # noqa: PT017
        return 416


def test_without_conditions_the_whole_content_is_selected() -> None:
    assert answer() == WHOLE


@pytest.mark.parametrize(
    ("header", "holds"),
    [
        ('"abc"', True),
        ("*", True),
        (" * ", True),
        ('"x", "abc"', True),
        ('"x","abc" , W/"y"', True),
        ('"x, \\", "abc"', True),
        ('W/"abc"', False),  # the comparison is strong
        ('"x"', False),
        ("abc", False),
        ('"ABC"', False),
        ("", False),
    ],
)
def test_if_match_requires_a_strong_match(header: str, holds: bool) -> None:
    assert answer(if_match=header) == (WHOLE if holds else 412)


@pytest.mark.parametrize(
    ("header", "matches"),
    [
        ('"abc"', True),
        ('W/"abc"', True),  # the comparison is weak
        ("*", True),
        ('"x", W/"abc"', True),
        ('"x"', False),
        ("abc", False),
        ("", False),
    ],
)
def test_if_none_match_uses_weak_comparison(header: str, matches: bool) -> None:
    assert answer(if_none_match=header) == (NOT_MODIFIED if matches else WHOLE)


@pytest.mark.parametrize(
    ("header", "expected"),
    [(SAME, NOT_MODIFIED), (AFTER, NOT_MODIFIED), (BEFORE, WHOLE), ("yesterday", WHOLE)],
)
def test_if_modified_since_selects_content_modified_later(header: str, expected: Selection) -> None:
    assert answer(if_modified_since=header) == expected


@pytest.mark.parametrize(
    ("header", "expected"), [(SAME, WHOLE), (AFTER, WHOLE), (BEFORE, 412), ("yesterday", WHOLE)]
)
def test_if_unmodified_since_refuses_content_modified_later(
    header: str, expected: Selection | int
) -> None:
    assert answer(if_unmodified_since=header) == expected


def test_entity_tags_take_precedence_over_dates() -> None:
    assert answer(if_match=ETAG, if_unmodified_since=BEFORE) == WHOLE
    assert answer(if_none_match='"x"', if_modified_since=AFTER) == WHOLE


def test_conditions_are_evaluated_in_the_order_of_rfc_9110() -> None:
    assert answer(if_match='"x"', if_none_match=ETAG) == 412
    assert answer(if_match=ETAG, if_none_match=ETAG) == NOT_MODIFIED
    assert answer(if_unmodified_since=BEFORE, if_none_match=ETAG) == 412
    assert answer(if_none_match=ETAG, range="bytes=0-9") == NOT_MODIFIED
    assert answer(if_none_match=ETAG, range="bytes=5000-") == NOT_MODIFIED
    assert answer(if_match='"x"', range="bytes=0-9") == 412
    assert answer(if_match=ETAG, range="bytes=0-9") == Selection(206, 0, 10)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=100-199", (100, 200)),
        ("bytes=0-", (0, 1000)),
        ("bytes=999-", (999, 1000)),
        ("bytes=990-5000", (990, 1000)),
        ("bytes=0-9999999999999999999", (0, 1000)),
        (f"bytes=0-{2**64}", (0, 1000)),
        (f"bytes=-{2**64}", (0, 1000)),
        ("bytes=-1", (999, 1000)),
        ("bytes=-1000", (0, 1000)),
        ("bytes=-5000", (0, 1000)),
        ("Bytes=0-9", (0, 10)),
        (" bytes=0-9 ", (0, 10)),
    ],
)
def test_a_range_selects_part_of_the_content(header: str, expected: tuple[int, int]) -> None:
    assert answer(range=header) == Selection(206, *expected)


@pytest.mark.parametrize(
    "header",
    [
        *("bytes=1000-", "bytes=1000-1001", "bytes=5000-6000", "bytes=-0"),
        *(f"bytes={2**64}-", f"bytes={2**64}-{2**65}"),
    ],
)
def test_a_range_past_the_end_is_416(header: str) -> None:
    assert answer(range=header) == 416


@pytest.mark.parametrize(
    "header",
    [
        "bytes=0-9,20-29",  # several ranges
        "bytes=0-9, -5",
        "bytes=9-0",  # reversed
        "items=0-9",  # another unit
        "bytes=-",
        "bytes=",
        "bytes",
        "0-9",
        "bytes=a-b",
        "bytes=0-9x",
        "bytes=--5",
        "bytes=1.5-2",
        "bytes=" + "9" * 5000 + "-",
        "",
    ],
)
def test_an_unsupported_range_header_is_ignored(header: str) -> None:
    assert answer(range=header) == WHOLE


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"])
def test_a_range_of_empty_content_is_416(header: str) -> None:
    assert answer(size=0, range=header) == 416
    assert answer(size=0) == Selection(200, 0, 0)


@pytest.mark.parametrize(
    ("header", "partial"),
    [
        (ETAG, True),
        (f" {ETAG} ", True),
        (SAME, True),
        ('W/"abc"', False),
        ('"x"', False),
        (BEFORE, False),
        (AFTER, False),
        ("yesterday", False),
        ("", False),
    ],
)
def test_if_range_applies_the_range_only_to_known_content(header: str, partial: bool) -> None:
    expected = Selection(206, 0, 10) if partial else WHOLE
    assert answer(range="bytes=0-9", if_range=header) == expected
    # A range that no longer fits cannot lie outside either.
    assert answer(range="bytes=5000-", if_range=header) == (416 if partial else WHOLE)


def test_if_range_without_a_range_is_ignored() -> None:
    assert answer(if_range='"x"') == WHOLE


@pytest.mark.parametrize(
    "text",
    [
        "Fri, 02 Jan 2026 03:04:05 GMT",
        "Friday, 02-Jan-26 03:04:05 GMT",
        "Fri, 02 Jan 2026 05:04:05 +0200",
    ],
)
def test_a_date_is_read_in_every_http_format(text: str) -> None:
    assert http_date(text) == MODIFIED.replace(microsecond=0)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        ",",
        "0",
        "Fri, 32 Jan 2026 03:04:05 GMT",
        "Fri, 02 Jan 99999999999999999999 03:04:05 GMT",
        "Fri, 99999999999999999999 Jan 2026 03:04:05 GMT",
        "Fri, 02 Jan 2026 03:04:05 +99999999999999999999",
        "Fri, 02 Jan 2026 03:04:05 -0000",
    ],
)
def test_an_invalid_date_is_ignored(text: str | None) -> None:
    assert http_date(text) is None


NAMES = ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"]
LIKELY = st.lists(
    st.sampled_from(
        [
            *["bytes", "=", "-", ",", "0", "9", "999", "9" * 30, "W/", '"', "abc", "*", " ", "\t"],
            *["Fri, 02 Jan 2026", "03:04:05", "GMT", "+0200", "é"],
        ]
    ),
    max_size=12,
).map("".join)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from([*NAMES, "range"]), st.one_of(st.text(), LIKELY)))
def test_any_headers_select_a_valid_range_or_are_refused(headers: dict[str, str]) -> None:
    try:
        found = evaluate(headers, ETAG, MODIFIED, SIZE)
    except (Aborted, OutOfRange):
        return
    assert 0 <= found.start <= found.end <= SIZE
    assert found.status in {200, 206, 304}


# Ranges of gRPC


@pytest.mark.parametrize(
    ("offset", "limit", "expected"),
    [
        (0, 0, (0, 1000)),
        (0, 10, (0, 10)),
        (990, 100, (990, 1000)),
        (999, 0, (999, 1000)),
        (-10, 0, (990, 1000)),
        (-10, 3, (990, 993)),
        (-5000, 0, (0, 1000)),
        (-(2**63), 2**63 - 1, (0, 1000)),
    ],
)
def test_offset_and_limit_select_a_range(
    offset: int, limit: int, expected: tuple[int, int]
) -> None:
    assert resolve(offset, limit, SIZE) == expected


@pytest.mark.parametrize("offset", [1000, 1001, 2**63 - 1])
def test_an_offset_past_the_end_is_refused(offset: int) -> None:
    with pytest.raises(OutOfRange) as caught:
        resolve(offset, 0, SIZE)
    assert caught.value.reason is Reason.RANGE_NOT_SATISFIABLE
    assert caught.value.metadata == {"complete_size_bytes": "1000"}


def test_empty_content_is_selected_whole() -> None:
    assert resolve(0, 0, 0) == resolve(0, 10, 0) == resolve(-5, 0, 0) == (0, 0)
    with pytest.raises(OutOfRange):
        resolve(1, 0, 0)


LENIENT = r"\s*bytes\s*=\s*(\d{0,19})\s*-\s*(\d{0,19})\s*"


@given(st.from_regex(LENIENT, fullmatch=True) | st.text("bytes=- \t19", max_size=30))
def test_a_range_can_contain_spaces(header: str) -> None:
    match = re.fullmatch(LENIENT, header)
    plain = f"bytes={match[1]}-{match[2]}" if match else "nonsense"
    assert parsed(header) == parsed(plain)


@pytest.mark.parametrize("header", ["bytes={}x", "bytes=-{}x", "bytes=1{}x", "{}x", "bytes{}x"])
def test_a_range_of_nothing_but_spaces_is_ignored(header: str) -> None:
    assert parse_range(header.format(" " * 1_000_000), 10) is None  # in quadratic time, hours


def parsed(header: str) -> tuple[int, int] | str | None:
    try:
        return parse_range(header, 1000)
    except OutOfRange:
        return "outside"
