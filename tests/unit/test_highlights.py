"""Where the words of a search are in a text, also with other letters for the same."""

import pytest

from media_service.search.highlights import marked, pattern_of


@pytest.mark.parametrize(
    ("word", "text", "found"),
    [
        ("cafe gare", "Au Café-Gare", ["Café-Gare"]),
        ("IMG_20", "img 2041 IMG_2042", ["img 20", "IMG_20"]),
        ("lukasz", "by Łukasz", ["Łukasz"]),
        ("smorrebrod", "Smørrebrød", ["Smørrebrød"]),
        ("grosse", "Größe", ["Größe"]),
        ("Größe", "GROSSE", ["GROSSE"]),
        ("masse", "Maße und Masse", ["Maße", "Masse"]),
        ("aether", "Æther", ["Æther"]),
        ("sea", "lake", []),
    ],
)
def test_words_are_marked_as_they_are_found(word: str, text: str, found: list[str]) -> None:
    pieces = marked(text, pattern_of([word]))
    assert [piece.text for piece in pieces if piece.matches] == found
    assert "".join(piece.text for piece in pieces) == (text if found else "")
