"""The limits of the metadata that callers store. They keep reading and listing media cheap."""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from media_service.errors import InvalidArgument, Reason

MAX_BYTES = 16 << 10
MAX_DEPTH = 8
MAX_KEYS = 256
MAX_KEY = 128


def not_allowed(path: str, why: str) -> InvalidArgument:
    """`path`: a field of the request, such as `metadata`."""
    return InvalidArgument(
        Reason.METADATA_NOT_ALLOWED, f"The metadata is not allowed: {path} {why}.", ((path, why),)
    )


def too_large(path: str) -> InvalidArgument:
    return not_allowed(path, f"has more than {MAX_BYTES} bytes as JSON")


def check_limits(metadata: Mapping[str, Any], path: str = "metadata") -> None:
    """Raises InvalidArgument (METADATA_NOT_ALLOWED)."""
    keys = size = 0
    for depth, value in values_of(metadata):
        if depth > MAX_DEPTH:
            raise not_allowed(path, f"has more than {MAX_DEPTH} levels")
        if has_nul(value):
            raise not_allowed(path, "contains a NUL character")
        if isinstance(value, float):
            # PostgreSQL writes all digits of a number: 1e308 would take 309 bytes in each answer.
            size += len(format(Decimal(repr(value)), "f"))
        if isinstance(value, Mapping):
            keys += len(value)
            if not all(0 < len(key) <= MAX_KEY for key in value):
                raise not_allowed(path, f"has a key that has not 1 to {MAX_KEY} characters")
    if keys > MAX_KEYS:
        raise not_allowed(path, f"has more than {MAX_KEYS} keys")
    size += len(json.dumps(metadata, ensure_ascii=False).encode())
    if size > MAX_BYTES:
        raise too_large(path)


def has_nul(value: Any) -> bool:
    """Whether a text, or a key of an object, has a character that PostgreSQL does not store."""
    texts = [value] if isinstance(value, str) else value if isinstance(value, Mapping) else ()
    return any("\0" in text for text in texts)


def values_of(metadata: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
    """All values, each with the number of objects and arrays in which it is, counting itself."""
    rest: list[tuple[int, Any]] = [(0, metadata)]
    while rest:
        depth, value = rest.pop()
        if isinstance(value, Mapping | list):
            inner = value.values() if isinstance(value, Mapping) else value
            rest.extend((depth + 1, each) for each in inner)
            depth += 1
        yield depth, value
