"""The order of lists."""

from datetime import datetime
from uuid import UUID

from media_service.access.lists import Key
from media_service.errors import InvalidArgument, Reason
from media_service.media.filter import snake_case
from media_service.nearest import nearest

# The type of each field that lists are sorted by.
SORTABLE: dict[str, type] = {
    "create_time": datetime,
    "update_time": datetime,
    "capture_time": datetime,
    "ready_time": datetime,
    "expire_time": datetime,
    "delete_time": datetime,
    "size_bytes": int,
    "rating": int,
    "width": int,
    "height": int,
    "duration_seconds": float,
    "filename": str,
    "title": str,
    "kind": str,
    "content_type": str,
    "view_count": int,
    "download_count": int,
}
# What stands for a missing value, which comes before all others.
MISSING = {
    "capture_time": "'-infinity'::timestamptz",
    "ready_time": "'-infinity'::timestamptz",
    "expire_time": "'-infinity'::timestamptz",
    "delete_time": "'-infinity'::timestamptz",
    "width": "-1",
    "height": "-1",
    "duration_seconds": "'-infinity'::double precision",
}
DEFAULT_ORDER = "create_time desc"
MAX_KEYS = 4


def fail(why: str) -> InvalidArgument:
    ending = "" if why.endswith("?") else "."
    message = f"The order is not valid: {why}{ending}"
    return InvalidArgument(Reason.INVALID_ORDER_BY, message, fields=(("order_by", why),))


def parse_order(text: str) -> list[Key]:
    """Parses text such as `"size_bytes desc, filename"`. Appends the id, which makes the order
    total."""
    keys: list[Key] = []
    for part in (text.strip() or DEFAULT_ORDER).split(","):
        name, *direction = part.split() or [""]
        name = snake_case(name)
        if direction not in ([], ["asc"], ["desc"]):
            raise fail(f"{part.strip()[:100]!r} is not a field, followed by asc, desc or nothing")
        if name not in SORTABLE:
            near = nearest(name, SORTABLE)
            hint = f"did you mean {near}?" if near else f"the fields are {', '.join(SORTABLE)}"
            raise fail(f"{name[:40]!r} is not a field to sort by; {hint}")
        if name in {key.name for key in keys}:
            raise fail(f"{name} is there twice")
        if len(keys) == MAX_KEYS:
            raise fail(f"it has more than {MAX_KEYS} fields")
        keys.append(Key(name, direction == ["desc"], MISSING.get(name, "")))
    return [*keys, Key("media_id", keys[-1].descending)]


def types_of(keys: list[Key]) -> list[type]:
    """The types of the values in page tokens."""
    return [UUID if key.name == "media_id" else SORTABLE[key.name] for key in keys]
