"""The filter language of lists: a subset of AIP-160, turned into SQL.

    filter     = conjunction { "OR" conjunction }
    conjunction = term { ["AND"] term }
    term       = ["NOT" | "-"] ( "(" filter ")" | comparison )
    comparison = field operator value

AIP-160 lets OR bind tighter than AND; here, as in SQL and most languages, AND binds tighter.
Nothing a caller writes becomes SQL text: fields come from a table, values are parameters.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from media_service.errors import InvalidArgument, Reason
from media_service.media.model import Kind, MediaState, Visibility

MAX_TERMS = 50
TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"""|(?P<operator><=|>=|!=|=|<|>|:)|(?P<paren>[()])|(?P<minus>-(?=[A-Za-z(]))"""
    # Only what begins with a digit may go on behind a colon: a time, but not `tags:2026`.
    r"""|(?P<word>[0-9][^\s()<>=!:"']*(?::[0-9][^\s()<>=!"']*)?|[^\s()<>=!:"']+))"""
)
ORDERED = {"=", "!=", "<", "<=", ">", ">="}
EQUAL = {"=", "!="}


def fail(why: str) -> InvalidArgument:
    return InvalidArgument(
        Reason.INVALID_FILTER,
        f"The filter is not valid: {why}.",
        fields=(("filter", why),),
    )


def timestamp(text: str) -> datetime:
    value = datetime.fromisoformat(text)
    if value.tzinfo is None:
        raise ValueError("no time zone")
    return value


@dataclass(frozen=True)
class Field:
    """A column, the operators it takes, and how its values are read."""

    column: str
    operators: set[str]
    parse: Callable[[str], Any]
    expects: str


def member(names: list[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.upper() not in names:
            raise ValueError(text)
        return text.upper()

    return parse


KINDS = [str(k) for k in Kind]
STATES = [str(s) for s in MediaState]
VISIBILITIES = [str(v) for v in Visibility]
FIELDS = {
    "kind": Field("m.kind", EQUAL, member(KINDS), f"one of {', '.join(KINDS)}"),
    "state": Field("m.state", EQUAL, member(STATES), f"one of {', '.join(STATES)}"),
    "visibility": Field(
        "m.visibility", EQUAL, member(VISIBILITIES), f"one of {', '.join(VISIBILITIES)}"
    ),
    "content_type": Field("m.content_type", EQUAL, str, "a string"),
    "filename": Field("m.filename", EQUAL, str, "a string"),
    "size_bytes": Field("m.size_bytes", ORDERED, int, "a whole number"),
    "create_time": Field("m.create_time", ORDERED, timestamp, "an RFC 3339 time with a zone"),
    "update_time": Field("m.update_time", ORDERED, timestamp, "an RFC 3339 time with a zone"),
    "tags": Field("m.tags", {":"}, str, "a string"),
}
TEXT = {"content_type", "filename"}


@dataclass(frozen=True)
class Condition:
    """A piece of a WHERE clause with `%s` for each of `params`."""

    sql: str
    params: tuple[Any, ...]


def parse_filter(text: str) -> Condition | None:
    """None for an empty filter. Raises InvalidArgument (INVALID_FILTER)."""
    tokens = tokenize(text)
    if not tokens:
        return None
    parser = Parser(tokens)
    condition = parser.disjunction()
    if parser.peek() is not None:
        raise fail(f"{parser.peek()[1]!r} was not expected")  # type: ignore[index]
    return condition


def tokenize(text: str) -> list[tuple[str, str]]:
    tokens, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match or match.lastgroup is None:
            raise fail(f"it cannot be read from {text[at : at + 20]!r} on")
        value = match[match.lastgroup]
        if match.lastgroup == "string":
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        tokens.append((match.lastgroup, value))
        at = match.end()
    return tokens


class Parser:
    """Recursive descent; depth and length are bounded by `MAX_TERMS`."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0
        self._terms = 0

    def peek(self) -> tuple[str, str] | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def take(self) -> tuple[str, str]:
        token = self.peek()
        if token is None:
            raise fail("it ends too early")
        self._at += 1
        return token

    def disjunction(self) -> Condition:
        parts = [self.conjunction()]
        while self.peek() == ("word", "OR"):
            self.take()
            parts.append(self.conjunction())
        return join(" or ", parts)

    def conjunction(self) -> Condition:
        parts = [self.term()]
        while self.peek() not in {None, ("word", "OR"), ("paren", ")")}:
            if self.peek() == ("word", "AND"):
                self.take()
            parts.append(self.term())
        return join(" and ", parts)

    def term(self) -> Condition:
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise fail(f"it has more than {MAX_TERMS} terms")
        kind, value = self.take()
        if (kind, value) == ("word", "NOT") or kind == "minus":
            inner = self.term()
            return Condition(f"not coalesce({inner.sql}, false)", inner.params)
        if (kind, value) == ("paren", "("):
            inner = self.disjunction()
            if self.take() != ("paren", ")"):
                raise fail("a parenthesis is not closed")
            return inner
        if kind != "word":
            raise fail(f"{value!r} stands where a field should")
        return self.comparison(value)

    def comparison(self, name: str) -> Condition:
        field = FIELDS.get(name)
        if field is None:
            raise fail(f"{name!r} is not a field; fields are {', '.join(FIELDS)}")
        kind, operator = self.take()
        if kind != "operator" or operator not in field.operators:
            raise fail(f"{name} takes {' '.join(sorted(field.operators))}, not {operator!r}")
        kind, text = self.take()
        if kind not in {"word", "string"}:
            raise fail(f"{text!r} stands where a value should")
        try:
            value = field.parse(text)
        except ValueError:
            raise fail(f"{name} must be {field.expects}, not {text!r}") from None
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise fail(f"{name} must be below 2^63")
        if isinstance(value, str) and "\0" in value:
            raise fail("strings must not hold NUL characters")
        if operator == ":":
            return Condition(f"%s = any({field.column})", (value,))
        if name in TEXT and (text.startswith("*") or text.endswith("*")):
            like = "like" if operator == "=" else "not like"
            return Condition(f"{field.column} {like} %s", (wildcard(text),))
        return Condition(f"{field.column} {operator.replace('!=', '<>')} %s", (value,))


def wildcard(text: str) -> str:
    """A LIKE pattern: `*` at either end matches anything, everything else is itself."""
    begin, end = text.startswith("*"), text.endswith("*") and len(text) > 1
    inner = text[begin : len(text) - end]
    inner = re.sub(r"([\\%_])", r"\\\1", inner)
    return f"{'%' * begin}{inner}{'%' * end}"


def join(word: str, parts: list[Condition]) -> Condition:
    if len(parts) == 1:
        return parts[0]
    sql = word.join(part.sql for part in parts)
    return Condition(f"({sql})", tuple(p for part in parts for p in part.params))
