"""The filter language of lists: a subset of AIP-160, compiled to SQL.

    filter      = conjunction { "OR" conjunction }
    conjunction = term { ["AND"] term }
    term        = ["NOT" | "-"] ( "(" filter ")" | comparison )
    comparison  = field operator value | field ":" "*"

In AIP-160, OR binds tighter than AND. Here, as in SQL and most languages, AND binds tighter.
A caller's text never becomes SQL: fields come from a table, and values are parameters.
"""

import base64
import math
import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from media_service.access.policy import Condition
from media_service.access.principal import LINK, Principal
from media_service.access.queries import Named
from media_service.errors import InvalidArgument, Reason
from media_service.media.model import Kind, MediaState, ScanState, Visibility
from media_service.nearest import nearest

MAX_TERMS = 50
MAX_COLLECTIONS = 10
TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"""|(?P<operator><=|>=|!=|=|<|>|:)|(?P<paren>[()])|(?P<minus>-(?=[A-Za-z(]))"""
    # A word that begins with a digit may contain a colon: a time is one word, `tags:2026` is not.
    r"""|(?P<word>[0-9][^\s()<>=!:"']*(?::[0-9][^\s()<>=!"']*)?|[^\s()<>=!:"']+))"""
)
ORDERED = frozenset({"=", "!=", "<", "<=", ">", ">="})
EQUAL = frozenset({"=", "!="})
IS = frozenset({"="})
CONTAINS = frozenset({":"})
LABEL = re.compile(r"labels\.([a-z][a-z0-9_./-]{0,62})")


def fail(why: str) -> InvalidArgument:
    return InvalidArgument(
        Reason.INVALID_FILTER,
        f"The filter is not valid: {why}" + "." * (not why.endswith("?")),
        fields=(("filter", why),),
    )


@dataclass(frozen=True)
class Field:
    """A field of media. `sql` is its expression, with `%s` for each of `params`. `parse` parses a
    value. With `wildcards`, a `*` at either end of a value matches any text. `present`: the
    condition that it has a value. `allowed`: all values, if they are few. `match`: the condition
    for a value, if it is not a comparison of `sql`."""

    sql: str
    operators: frozenset[str]
    parse: Callable[[str], Any]
    expected: str
    wildcards: bool = False
    params: tuple[Any, ...] = ()
    present: str = "{} is not null"
    allowed: Sequence[str] = ()
    match: Callable[[Any], Condition] | None = None


def timestamp(text: str) -> datetime:
    value = datetime.fromisoformat(text)
    if value.tzinfo is None:
        raise ValueError("no time zone")
    return value


def integer(text: str) -> int:
    value = int(text)
    if not -(2**63) <= value < 2**63:
        raise ValueError("not a 64-bit integer")
    return value


def number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not finite")
    return value


def member(names: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.upper() not in names:
            raise ValueError(text)
        return text.upper()

    return parse


def sha256(text: str) -> bytes:
    """Hexadecimal, or base64 as in JSON."""
    value = bytes.fromhex(text) if len(text) == HEX_DIGITS else base64.b64decode(text)
    if len(value) != HEX_DIGITS // 2:
        raise ValueError("not a SHA-256")
    return value


@dataclass(frozen=True)
class Box:
    """Degrees. If `west` is greater than `east`, it crosses the 180th meridian."""

    south: float
    west: float
    north: float
    east: float


def box(text: str) -> Box:
    found = Box(*(number(part) for part in text.split(",")))
    latitudes, longitudes = (found.south, found.north), (found.west, found.east)
    if not -90 <= min(latitudes) <= max(latitudes) <= 90 or found.south > found.north:
        raise ValueError("not latitudes")
    if not -180 <= min(longitudes) <= max(longitudes) <= 180:
        raise ValueError("not longitudes")
    return found


def inside(wanted: Box) -> Condition:
    sides = [(wanted.west, wanted.east)]
    if wanted.west > wanted.east:
        sides = [(wanted.west, 180.0), (-180.0, wanted.east)]
    sql = f"{POINT} <@ box(point(%s, %s), point(%s, %s))"
    return join(
        " or ",
        [Condition(sql, (west, wanted.south, east, wanted.north)) for west, east in sides],
    )


def with_content(wanted: bytes) -> Condition:
    return Condition(WITH_CONTENT, (wanted,))


def in_collection(collection_id: UUID) -> Condition:
    return Condition(IN_COLLECTION, (collection_id,))


def tagged(tag: str) -> Condition:
    # The indexes of lists have the hashes of tags. Two tags with the same 64 bits are not expected.
    return Condition("m.tag_hashes @> array[hashtextextended(%s, 0)]", (tag,))


def enum(column: str, names: Sequence[str]) -> Field:
    expected = f"one of {', '.join(names)}"
    return Field(column, EQUAL, member(names), expected, allowed=names)


def text(column: str, *, wildcards: bool = False) -> Field:
    return Field(column, EQUAL, str, "a string", wildcards, present="{} <> ''")


def ordered(column: str, parse: Callable[[str], Any], expected: str) -> Field:
    return Field(column, ORDERED, parse, expected)


# Of the current version. Lists select the ids of media without their versions.
SCAN_STATE = (
    "(select v.scan_state from media_versions v"
    " where v.media_id = m.media_id and v.version = m.version)"
)
# As shown. Media without a width and a height have none.
ORIENTATION = (
    "(case when m.width > m.height then 'LANDSCAPE' when m.width < m.height then 'PORTRAIT'"
    " when m.width = m.height then 'SQUARE' end)"
)
# The expressions of indexes: see the migration `filters`.
CAMERA = "(m.private_info #>> '{exif,Model}')"
POINT = (
    "point((m.private_info #>> '{location,longitude}')::float8,"
    " (m.private_info #>> '{location,latitude}')::float8)"
)
# The tables are those of a scope for what the filter names. With `coalesce`, these are no joins,
# and each media is looked up in a hash table: the planner would expect few rows, and compare each
# with all. A collection on which the caller has no role is like one without members.
IN_COLLECTION = (
    "coalesce(m.media_id in (select media_id from named_members where collection_id = %s), false)"
)
WITH_CONTENT = """
    coalesce((m.media_id, m.version) in (
        select media_id, version from named_contents where content = %s
    ), false)
"""
HEX_DIGITS = 64
INTEGER, NUMBER = "a 64-bit integer", "a number"
TIME = "an RFC 3339 time with a time zone"
FIELDS = {
    "media_id": Field("m.media_id", EQUAL, UUID, "a UUID"),
    "owner": text("m.owner_id"),
    "project_id": text("m.project_id"),
    "collection": Field("", IS, UUID, "a UUID", present="", match=in_collection),
    "kind": enum("m.kind", list(Kind)),
    "state": enum("m.state", list(MediaState)),
    "scan_state": enum(SCAN_STATE, list(ScanState)),
    "visibility": enum("m.visibility", list(Visibility)),
    "content_type": text("m.content_type", wildcards=True),
    "filename": text("m.filename", wildcards=True),
    "original_filename": text("m.original_filename", wildcards=True),
    "title": text("m.title", wildcards=True),
    "description": text("m.description", wildcards=True),
    "size_bytes": ordered("m.size_bytes", integer, INTEGER),
    "width": ordered("m.width", integer, INTEGER),
    "height": ordered("m.height", integer, INTEGER),
    "duration_seconds": ordered("m.duration_seconds", number, NUMBER),
    "version": ordered("m.version", integer, INTEGER),
    "rating": ordered("m.rating", integer, INTEGER),
    "create_time": ordered("m.create_time", timestamp, TIME),
    "update_time": ordered("m.update_time", timestamp, TIME),
    "capture_time": ordered("m.capture_time", timestamp, TIME),
    "expire_time": ordered("m.expire_time", timestamp, TIME),
    "ready_time": ordered("m.ready_time", timestamp, TIME),
    "delete_time": ordered("m.delete_time", timestamp, TIME),
    "purge_time": ordered("m.purge_time", timestamp, TIME),
    "view_count": ordered("m.view_count", integer, INTEGER),
    "download_count": ordered("m.download_count", integer, INTEGER),
    "orientation": enum(ORIENTATION, ("LANDSCAPE", "PORTRAIT", "SQUARE")),
    "camera": text(CAMERA, wildcards=True),
    "location": Field(
        "(m.private_info -> 'location')",
        CONTAINS,
        box,
        'a box of degrees "south,west,north,east", such as "47.2,8.4,47.5,8.7"',
        match=inside,
    ),
    "checksums.sha256": Field(
        "", IS, sha256, "a SHA-256, hexadecimal or in base64", present="", match=with_content
    ),
    "tags": Field("m.tags", CONTAINS, str, "a string", present="{} <> '{{}}'", match=tagged),
}
# Sessions of share links read collections only by ListCollectionMedia, and do not learn who owns a
# media. Those that may not read originals learn nothing of what only the file tells.
HIDDEN_FROM_LINKS = {"owner", "collection"}
HIDDEN_FROM_VIEWERS = HIDDEN_FROM_LINKS | {"camera", "location", "checksums.sha256"}
# What people call a field whose name is too different to be suggested.
SYNONYMS = {
    "type": "content_type",
    "mimetype": "content_type",
    "name": "filename",
    "project": "project_id",
    "album": "collection",
    "collectionid": "collection",
    "id": "media_id",
    "checksum": "checksums.sha256",
    "sha256": "checksums.sha256",
    "scan": "scan_state",
    "date": "capture_time",
    "uploaded": "create_time",
    "model": "camera",
    "gps": "location",
}


def without(hidden: Container[str]) -> Mapping[str, Field]:
    return {name: field for name, field in FIELDS.items() if name not in hidden}


FIELDS_OF_LINKS, FIELDS_OF_VIEWERS = without(HIDDEN_FROM_LINKS), without(HIDDEN_FROM_VIEWERS)


def fields_for(principal: Principal) -> Mapping[str, Field]:
    """The fields that a caller may filter by."""
    if principal.type != LINK:
        return FIELDS
    return FIELDS_OF_LINKS if principal.may_download else FIELDS_OF_VIEWERS


def find_field(name: str, fields: Mapping[str, Field]) -> Field:
    if label := LABEL.fullmatch(name):
        return Field(
            "m.labels ->> %s",
            EQUAL,
            str,
            "a string",
            wildcards=True,
            params=(label[1],),
            present="({}) is not null",
        )
    field = fields.get(snake_case(name))
    if field is None:
        synonym = SYNONYMS.get(name.lower().replace("_", ""), "")
        near = synonym if synonym in fields else nearest(name, fields)
        hint = (
            f"did you mean {near}?" if near else f"the fields are {', '.join(fields)}, labels.KEY"
        )
        raise fail(f"{name[:40]!r} is not a field; {hint}")
    return field


def snake_case(name: str) -> str:
    """`sizeBytes`, as in JSON, is `size_bytes`."""
    return re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter as SQL, for a statement that begins with `Scope.sql` for what the filter names."""

    condition: Condition
    named: Named


def parse(
    text: str, fields: Mapping[str, Field] = FIELDS, smart: Mapping[str, str] | None = None
) -> Filter | None:
    """Parses a filter of these fields. `smart`: the filters of smart collections that it names, by
    id. Returns None if it is empty. Raises InvalidArgument (INVALID_FILTER)."""
    tokens = tokenize(text)
    if not tokens:
        return None
    parser = Parser(tokens, fields, smart or {})
    whole = parser.disjunction()
    if (rest := parser.peek()) is not None:
        raise fail(f"{rest[1]!r} is not expected here")
    named = Named(frozenset(parser.collections), frozenset(parser.contents), whole.within)
    return Filter(whole.condition, named)


def parse_filter(text: str, fields: Mapping[str, Field] = FIELDS) -> Condition | None:
    """The condition of a filter that names no smart collection."""
    parsed = parse(text, fields)
    return parsed.condition if parsed else None


def tokenize(text: str) -> list[tuple[str, str]]:
    tokens, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match or match.lastgroup is None:
            raise fail(f"it cannot be parsed from {text[at : at + 20]!r} on")
        value = match[match.lastgroup]
        if match.lastgroup == "string":
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        tokens.append((match.lastgroup, value))
        at = match.end()
    return tokens


@dataclass(frozen=True, slots=True)
class Term:
    """A part of a filter. `within`: see `Named`."""

    condition: Condition
    within: frozenset[str | bytes] | None = None


def both(terms: Sequence[Term]) -> Term:
    within = next((term.within for term in terms if term.within is not None), None)
    return Term(join(" and ", [term.condition for term in terms]), within)


def either(terms: Sequence[Term]) -> Term:
    within: frozenset[str | bytes] | None = frozenset()
    for term in terms:
        within = None if within is None or term.within is None else within | term.within
    return Term(join(" or ", [term.condition for term in terms]), within)


class Parser:
    """A recursive descent parser. `MAX_TERMS` limits depth and length."""

    def __init__(
        self,
        tokens: list[tuple[str, str]],
        fields: Mapping[str, Field],
        smart: Mapping[str, str],
    ) -> None:
        self._tokens = tokens
        self._fields = fields
        self._smart = smart
        self.collections: set[str] = set()
        self.contents: set[bytes] = set()
        self._at = 0
        self._terms = 0

    def peek(self) -> tuple[str, str] | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def take(self) -> tuple[str, str]:
        token = self.peek()
        if token is None:
            raise fail("it is not complete")
        self._at += 1
        return token

    def disjunction(self) -> Term:
        parts = [self.conjunction()]
        while self.peek() == ("word", "OR"):
            self.take()
            parts.append(self.conjunction())
        return either(parts)

    def conjunction(self) -> Term:
        parts = [self.term()]
        while self.peek() not in {None, ("word", "OR"), ("paren", ")")}:
            if self.peek() == ("word", "AND"):
                self.take()
            parts.append(self.term())
        return both(parts)

    def term(self) -> Term:
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise fail(f"it has more than {MAX_TERMS} terms")
        kind, value = self.take()
        if (kind, value) == ("word", "NOT") or kind == "minus":
            inner = self.term().condition
            return Term(Condition(f"not coalesce({inner.sql}, false)", inner.params))
        if (kind, value) == ("paren", "("):
            group = self.disjunction()
            if self.take() != ("paren", ")"):
                raise fail("a parenthesis is not closed")
            return group
        if kind != "word":
            raise fail(f"a field is expected instead of {value!r}")
        return self.comparison(value)

    def comparison(self, name: str) -> Term:
        field = find_field(name, self._fields)
        kind, operator = self.take()
        is_presence = operator == ":" and self.peek() == ("word", "*") and field.present != ""
        if is_presence and kind == "operator":
            self.take()
            return Term(Condition(field.present.format(field.sql), field.params))
        if kind != "operator" or operator not in field.operators:
            allowed = " ".join(sorted(field.operators))
            raise fail(f"{name} is compared with {allowed}, not with {operator!r}")
        kind, value = self.take()
        if kind not in {"word", "string"}:
            raise fail(f"a value is expected instead of {value!r}")
        if "\0" in value:
            raise fail("a string cannot contain NUL characters")
        try:
            parsed = field.parse(value)
        except (ValueError, TypeError):
            near = nearest(value, field.allowed)
            hint = f"; did you mean {near}?" if near else ""
            raise fail(f"{name} must be {field.expected}, not {value[:100]!r}{hint}") from None
        if field is FIELDS["collection"]:
            return self.collection(parsed)
        if field is FIELDS["checksums.sha256"]:
            self.contents.add(parsed)
            return Term(with_content(parsed), frozenset({parsed}))
        return Term(compare(field, operator, parsed))

    def collection(self, collection_id: UUID) -> Term:
        """The members of a collection, or what a smart one selects."""
        self.collections.add(str(collection_id))
        if len(self.collections) > MAX_COLLECTIONS:
            raise fail(f"it names more than {MAX_COLLECTIONS} collections")
        selects = parse(self._smart.get(str(collection_id), ""), self._fields)
        if selects is None:
            return Term(in_collection(collection_id), frozenset({str(collection_id)}))
        self.collections |= selects.named.collections
        self.contents |= selects.named.contents
        return Term(selects.condition, selects.named.within)


def compare(field: Field, operator: str, value: Any) -> Condition:
    if field.match:
        return field.match(value)
    if field.wildcards and (value.startswith("*") or value.endswith("*")):
        like = "like" if operator == "=" else "not like"
        return Condition(f"{field.sql} {like} %s", (*field.params, wildcard(value)))
    if field.params and operator == "=":
        # The index on labels serves only containment.
        (key,) = field.params
        return Condition("m.labels @> jsonb_build_object(%s::text, %s::text)", (key, value))
    return Condition(f"{field.sql} {operator.replace('!=', '<>')} %s", (*field.params, value))


def wildcard(text: str) -> str:
    """Returns a LIKE pattern. A `*` at either end matches any text. All other characters are
    literal."""
    begin, end = text.startswith("*"), text.endswith("*") and len(text) > 1
    inner = text[begin : len(text) - end]
    inner = re.sub(r"([\\%_])", r"\\\1", inner)
    return f"{'%' * begin}{inner}{'%' * end}"


def join(operator: str, parts: list[Condition]) -> Condition:
    if len(parts) == 1:
        return parts[0]
    sql = operator.join(part.sql for part in parts)
    return Condition(f"({sql})", tuple(p for part in parts for p in part.params))
