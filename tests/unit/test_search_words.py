"""The words of searches, and where they are marked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_service.errors import InvalidArgument, Reason
from media_service.search.highlights import MAX_SHOWN, marked, pattern_of
from media_service.search.model import Fragment
from media_service.search.words import MAX_TERMS, Words, parse_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sea", Words('"sea"', ("sea",), every=True)),
        ('two  "old boats"', Words('"two" "old boats"', ("two", "old boats"), every=True)),
        ("IMG_20.JPG", Words('"IMG 20 JPG"', ("IMG_20.JPG",), every=True)),
        ("sea -winter", Words('"sea" -"winter"', ("sea",), every=False)),
        ("sea OR lake", Words('"sea" or "lake"', ("sea", "lake"), every=False)),
        ("or", Words('"or"', ("or",), every=True)),
        ('"open', Words('"open"', ("open",), every=True)),
        ("a & !b | (c) <-> :*", Words('"a" "b" "c"', ("a", "!b", "(c)"), every=True)),
    ],
)
def test_words_are_parsed(text: str, words: Words) -> None:
    assert parse_words(text) == words


@pytest.mark.parametrize(
    ("text", "why"),
    [("-sea", "must contain a word"), ("&|!", "must contain a word"), ("a " * 21, "at most 20")],
)
def test_a_query_without_words_is_refused(text: str, why: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_words(text)
    assert (caught.value.reason, caught.value.fields[0][0]) == (Reason.INVALID_FIELD, "query")
    assert why in caught.value.message


@given(st.text(max_size=200))
def test_any_query_is_parsed_or_refused(text: str) -> None:
    try:
        words = parse_words(text)
    except InvalidArgument:
        return
    assert 0 < len(words.wanted) <= MAX_TERMS
    marked(text, pattern_of(words.wanted))


@pytest.mark.parametrize(
    ("text", "wanted", "matches"),
    [
        ("Am Zürichsee", ["zurich"], ["Zürich"]),
        ("sea and SEA", ["Sea"], ["sea", "SEA"]),
        ("IMG_2041.JPG", ["img 20"], ["IMG_20"]),
        ("a lake", ["sea"], []),
        ("Cafe\u0301", ["café"], ["Café"]),
    ],
)
def test_matches_are_marked(text: str, wanted: list[str], matches: list[str]) -> None:
    fragments = marked(text, pattern_of(wanted))
    assert [each.text for each in fragments if each.matches] == matches


def test_a_long_text_is_shown_around_its_first_match() -> None:
    fragments = marked("x " * 1000 + "sea" + " y" * 1000, pattern_of(["sea"]))
    assert Fragment("sea", matches=True) in fragments
    assert sum(len(each.text) for each in fragments) == MAX_SHOWN
