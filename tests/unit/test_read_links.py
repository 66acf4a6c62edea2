"""The token and the path of a link."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media_service.access.link_signer import LinkSigner
from media_service.clock import now
from media_service.downloads.read_links import path_name
from media_service.errors import PermissionDenied
from media_service.ids import new_id

SIGNER = LinkSigner(["a key of at least thirty-two bytes"])
GOOD = SIGNER.sign("read", {"media": new_id()}, now() + timedelta(hours=1))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/. \n\0é%"


def opens(token: str) -> bool:
    try:
        SIGNER.open("read", token)
    except PermissionDenied:
        return False
    return True


def test_a_link_with_any_one_character_changed_added_or_left_out_is_refused() -> None:
    assert opens(GOOD)
    for at in range(len(GOOD)):
        assert not opens(GOOD[:at] + GOOD[at + 1 :])
        for other in ALPHABET:
            assert other == GOOD[at] or not opens(GOOD[:at] + other + GOOD[at + 1 :])
            assert not opens(GOOD[:at] + other + GOOD[at:])
    assert not any(opens(GOOD + other) for other in ALPHABET)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=2000) | st.lists(st.sampled_from(GOOD.split("."))).map(".".join))
def test_any_other_text_is_refused_as_a_link(token: str) -> None:
    assert token == GOOD or not opens(token)


@pytest.mark.parametrize(
    ("filename", "end"),
    [
        ("a.jpg", "a.jpg"),
        ("", "content"),
        (".", "content"),
        ("..", "content"),
        ("a/../b", "a_.._b"),
        ("a\\b", "a_b"),
        ("100%.jpg", "100%25.jpg"),
        ("a:watch", "a%3Awatch"),
        ("é?#&.jpg", "%C3%A9%3F%23%26.jpg"),
    ],
)
def test_a_filename_becomes_one_safe_path_segment(filename: str, end: str) -> None:
    assert path_name(filename) == end
