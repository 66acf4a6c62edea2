"""Keyset pagination: the order of lists, and where their pages begin."""

from dataclasses import dataclass
from typing import Any

from media_service.access.policy import Condition
from media_service.errors import InvalidArgument, Reason
from media_service.media.filter import snake_case

SORTABLE = ("create_time", "update_time", "size_bytes", "filename")
DEFAULT_ORDER = "create_time desc"


@dataclass(frozen=True)
class Key:
    """A column to sort by."""

    name: str
    descending: bool


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


def order_sql(keys: list[Key]) -> str:
    return ", ".join(f"m.{key.name}{' desc' if key.descending else ''}" for key in keys)


def after_sql(keys: list[Key], values: list[Any]) -> Condition:
    """The condition for the rows after the one with these values, in this order."""
    options, params = [], []
    for i, key in enumerate(keys):
        equal = [f"m.{k.name} = %s" for k in keys[:i]]
        options.append(" and ".join([*equal, f"m.{key.name} {'<' if key.descending else '>'} %s"]))
        params += values[: i + 1]
    return Condition("(" + " or ".join(f"({o})" for o in options) + ")", tuple(params))
