"""The words of a search: `sunset beach`, `"exact phrase"`, `-without`, `this OR that`."""

import re
from dataclasses import dataclass

from media_service.errors import InvalidArgument, Reason

TERM = re.compile(r'(?P<without>-?)(?:"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+))')
# What the parser of PostgreSQL would take for parts of addresses and numbers.
PUNCTUATION = re.compile(r"[\W_]+")
MAX_TERMS = 20
# Trigrams find nothing shorter, and similar words only if they are longer.
LEAST_SUBSTRING, LEAST_SIMILAR = 3, 4


def refused(why: str) -> InvalidArgument:
    return InvalidArgument(Reason.INVALID_FIELD, f"The query {why}.", (("query", why),))


@dataclass(frozen=True, slots=True)
class Words:
    """`query`: for `websearch_to_tsquery`. `wanted`: the words and phrases that a media must have,
    or one of them, as they were written. `every`: it must have all, and there are no others."""

    query: str
    wanted: tuple[str, ...]
    every: bool

    @property
    def substrings(self) -> tuple[str, ...]:
        """What the names must contain, if all of it is long enough. Otherwise nothing."""
        long = all(len(word) >= LEAST_SUBSTRING for word in self.wanted)
        return self.wanted if self.every and long else ()

    @property
    def similar(self) -> tuple[str, ...]:
        """The words that may be spelled differently."""
        return tuple(w for w in self.wanted if self.every and len(w) >= LEAST_SIMILAR)


def parse_words(text: str) -> Words:
    """Raises InvalidArgument (INVALID_FIELD)."""
    parts: list[str] = []
    wanted: list[str] = []
    every = True
    for found in TERM.finditer(text.replace("\0", " ")):
        raw = found["word"] if found["phrase"] is None else found["phrase"]
        plain = PUNCTUATION.sub(" ", raw).strip()
        if raw == "OR" and not found["without"]:
            parts.append("or")
            every = False
        elif plain:
            if len(parts) == MAX_TERMS:
                raise refused(f"must have at most {MAX_TERMS} words")
            # Quoted, so that it is no operator, and its parts are next to each other.
            parts.append(f'{found["without"]}"{plain}"')
            if found["without"]:
                every = False
            else:
                wanted.append(raw)
    if not wanted:
        raise refused("must contain a word that media have")
    return Words(" ".join(parts), tuple(wanted), every)
