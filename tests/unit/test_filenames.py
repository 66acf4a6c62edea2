"""The names of files are what they look like, and every system can store them."""

import pytest

from media_service.media.filenames import clean

FAMILY = "👨\u200d👩\u200d👧.jpg"


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        ("beach.jpg", "beach.jpg"),
        ("", ""),
        ("cafe\u0301.jpg", "caf\u00e9.jpg"),
        ("photo\u202egnp.exe", "photognp.exe"),
        ("\u2066a\u2069\u200e\u061c.jpg", "a.jpg"),
        ("a\u0085b\u2028c\ufeff.jpg", "abc.jpg"),
        (FAMILY, FAMILY),
        ("CON", "_CON"),
        ("nul.tar.gz", "_nul.tar.gz"),
        ("Com1 .txt", "_Com1 .txt"),
        ("lpt\u00b9.txt", "_lpt\u00b9.txt"),
        ("\u202econ.jpg", "_con.jpg"),
        ("console.jpg", "console.jpg"),
        ("com10.jpg", "com10.jpg"),
        # In the normal form, this letter has twice as many bytes.
        ("\u0958" * 80 + ".jpeg", "\u0915\u093c" * 41 + "\u0915.jpeg"),
        ("con." + "a" * 251, "_con." + "a" * 250),
    ],
)
def test_a_name_is_cleaned(given: str, cleaned: str) -> None:
    assert clean(given) == cleaned
    assert clean(cleaned) == cleaned
    assert len(clean(given).encode()) <= 255
