"""Marks what was searched in the texts of a media. Texts are bounded, so this takes microseconds.

Upper and lower case, and letters with and without accents, are equal, as in the search.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from media_service.media.model import Media
from media_service.search.model import Fragment, Highlight, Hit

# The characters around a match that a long text shows.
AROUND = 80
MAX_SHOWN = 300


# Letters that Unicode does not take apart, and `unaccent` does.
PLAIN = dict(zip("łøđħŧı", "lodhti", strict=True))
TWO_LETTERS = {"ß": "ss", "æ": "ae", "œ": "oe", "þ": "th"}
EITHER = {two: f"(?:{two}|{one})" for one, two in TWO_LETTERS.items()}


@lru_cache(maxsize=4096)
def folded_letter(letter: str) -> str:
    """One character for one, so that positions stay."""
    plain = unicodedata.normalize("NFD", letter)[0].lower()
    return PLAIN.get(plain, plain) if len(plain) == 1 else letter


def folded(text: str) -> str:
    return "".join(map(folded_letter, unicodedata.normalize("NFC", text)))


def pattern_of(wanted: Sequence[str]) -> re.Pattern[str]:
    """Matches the words, longer ones first. Punctuation in between matches any."""
    words = sorted((re.split(r"[\W_]+", folded(each)) for each in wanted), key=len, reverse=True)
    options = [r"[\W_]+".join(map(spellings, filter(None, parts))) for parts in words]
    return re.compile("|".join(filter(None, options)))


def spellings(word: str) -> str:
    """A pattern for a word, in which `ss` is `ß`, too, and the reverse."""
    for one, two in TWO_LETTERS.items():
        word = word.replace(one, two)
    return re.sub("|".join(EITHER), lambda two: EITHER[two[0]], re.escape(word))


def highlights(hit: Hit, wanted: Sequence[str]) -> list[Highlight]:
    """The fields with a match, and where it is."""
    pattern = pattern_of(wanted)
    return [
        Highlight(name, tuple(fragments))
        for name, text in texts_of(hit.media, hit.excerpt)
        if (fragments := marked(text, pattern))
    ]


def texts_of(media: Media, excerpt: str) -> Iterator[tuple[str, str]]:
    yield "title", media.title
    yield "filename", media.filename
    if media.original_filename != media.filename:
        yield "original_filename", media.original_filename
    for tag in media.tags:
        yield "tags", tag
    for key, value in media.labels.items():
        yield f"labels.{key}", value
    yield "description", media.description
    yield "content", excerpt


def marked(text: str, pattern: re.Pattern[str]) -> list[Fragment]:
    """The text around the first match, in pieces. Empty if there is no match."""
    text = unicodedata.normalize("NFC", text)
    plain = folded(text)
    first = pattern.search(plain)
    if first is None:
        return []
    begin = max(0, first.start() - AROUND) if len(text) > MAX_SHOWN else 0
    end = begin + MAX_SHOWN
    return list(pieces(text[begin:end], pattern.finditer(plain[begin:end])))


def pieces(text: str, matches: Iterable[re.Match[str]]) -> Iterator[Fragment]:
    at = 0
    for found in matches:
        if found.start() > at:
            yield Fragment(text[at : found.start()], matches=False)
        yield Fragment(text[found.start() : found.end()], matches=True)
        at = found.end()
    if at < len(text):
        yield Fragment(text[at:], matches=False)
