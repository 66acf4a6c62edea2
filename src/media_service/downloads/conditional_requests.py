"""Conditional and range requests (RFC 9110, sections 13 and 14)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

from media_service.downloads.service import not_satisfiable
from media_service.errors import Aborted, Reason

# Possessive quantifiers: no backtracking over thousands of spaces. Converting longer numbers would
# take long.
RANGE = r"\s*+bytes\s*+=\s*+(\d{0,99}+)\s*+-\s*+(\d{0,99}+)\s*+"


@dataclass(frozen=True, slots=True)
class Selection:
    """The status of the response and its bytes: 200 or 206 with [start, end), or 304 without
    bytes."""

    status: int
    start: int
    end: int


def evaluate(headers: Mapping[str, str], etag: str, modified: datetime, size: int) -> Selection:
    """Evaluates the preconditions in the order of RFC 9110, section 13.2.2.

    `headers` have lower-case names. Raises Aborted (412) and OutOfRange (416).
    """
    if unchanged(headers, etag, modified):
        return Selection(304, 0, 0)
    if "range" in headers and fresh(headers.get("if-range"), etag, modified.replace(microsecond=0)):
        span = parse_range(headers["range"], size)
        if span is not None:
            return Selection(206, *span)
    return Selection(200, 0, size)


def unchanged(headers: Mapping[str, str], etag: str, modified: datetime) -> bool:
    """Whether the client already has the current content (304). It does not need the size, so it
    can run before the content exists. Raises Aborted (412)."""
    modified = modified.replace(microsecond=0)
    if "if-match" in headers:
        if not listed(headers["if-match"], etag, weak=False):
            raise failed("If-Match")
    elif (date := http_date(headers.get("if-unmodified-since"))) and modified > date:
        raise failed("If-Unmodified-Since")
    if "if-none-match" in headers:
        return listed(headers["if-none-match"], etag, weak=True)
    date = http_date(headers.get("if-modified-since"))
    return date is not None and modified <= date


def failed(header: str) -> Aborted:
    return Aborted(
        Reason.PRECONDITION_FAILED,
        f"The precondition in the header {header} is false for the current content.",
        header=header,
    )


def listed(header: str, etag: str, *, weak: bool) -> bool:
    """Whether a header lists the entity tag, by weak or strong comparison."""
    if header.strip() == "*":
        return True
    for mark, tag in re.findall(r'(W/)?("[^"]*")', header):
        if tag == etag and (weak or not mark):
            return True
    return False


def http_date(text: str | None) -> datetime | None:
    """Parses a date. Returns None if it is missing or malformed, because RFC 9110 ignores such
    conditions."""
    try:
        date = parsedate_to_datetime(text) if text else None
    except (ValueError, OverflowError):  # dates may contain numbers of any length
        return None
    return date if date is not None and date.tzinfo is not None else None


def fresh(if_range: str | None, etag: str, modified: datetime) -> bool:
    """Whether the range belongs to the content that the client has (section 13.1.5)."""
    if if_range is None:
        return True
    if if_range.strip().startswith(('"', "W/")):
        return if_range.strip() == etag
    return http_date(if_range) == modified


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """Parses a Range header. Returns [start, end), or None if the header is ignored because it is
    malformed or has another unit or several ranges.

    Raises OutOfRange if the range lies outside the content.
    """
    match = re.fullmatch(RANGE, header, re.IGNORECASE)
    if not match or not (match[1] or match[2]):
        return None
    if not match[1]:
        length = min(int(match[2]), size)
        if length == 0:
            raise not_satisfiable(size)
        return size - length, size
    start = int(match[1])
    if match[2] and int(match[2]) < start:
        return None
    if start >= size:
        raise not_satisfiable(size)
    return start, min(int(match[2]) + 1, size) if match[2] else size
