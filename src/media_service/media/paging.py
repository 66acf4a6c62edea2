"""The order of lists."""

from media_service.access.lists import Key
from media_service.errors import InvalidArgument, Reason
from media_service.media.filter import snake_case

SORTABLE = ("create_time", "update_time", "size_bytes", "filename")
DEFAULT_ORDER = "create_time desc"


def parse_order(text: str) -> list[Key]:
    """Parses text such as `"size_bytes desc, filename"`. Appends the id, which makes the order
    total."""
    keys: list[Key] = []
    for part in (text.strip() or DEFAULT_ORDER).split(","):
        name, *direction = part.split() or [""]
        name = snake_case(name)
        known = name in SORTABLE and name not in {key.name for key in keys}
        if not known or direction not in ([], ["asc"], ["desc"]):
            why = (
                f"{part.strip()!r} is not one of {', '.join(SORTABLE)}, each once, with asc or desc"
            )
            raise InvalidArgument(
                Reason.INVALID_ORDER_BY,
                f"The order is not valid: {why}.",
                fields=(("order_by", why),),
            )
        keys.append(Key(name, direction == ["desc"]))
    return [*keys, Key("media_id", keys[-1].descending)]
