"""Order and pages of lists: keyset pagination, with tokens bound to the query they continue."""

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from media_service.errors import InvalidArgument, Reason
from media_service.media.filter import Condition

SORTABLE = ("create_time", "update_time", "size_bytes", "filename")
DEFAULT_ORDER = "create_time desc"


@dataclass(frozen=True)
class Key:
    """A column to sort by."""

    name: str
    descending: bool


def parse_order(text: str) -> list[Key]:
    """`"size_bytes desc, filename"`; the id always comes last, so that the order is total."""
    keys: list[Key] = []
    for part in (text.strip() or DEFAULT_ORDER).split(","):
        name, *direction = part.split() or [""]
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
    """What comes after a row with these values in this order."""
    options, params = [], []
    for i, key in enumerate(keys):
        equal = [f"m.{k.name} = %s" for k in keys[:i]]
        options.append(" and ".join([*equal, f"m.{key.name} {'<' if key.descending else '>'} %s"]))
        params += values[: i + 1]
    return Condition("(" + " or ".join(f"({o})" for o in options) + ")", tuple(params))


def fingerprint(*query: object) -> str:
    """Names a query; a token is good only for the query it came from."""
    return hashlib.sha256(json.dumps(query, default=str).encode()).hexdigest()[:16]


def encode_token(query: str, values: list[Any]) -> str:
    plain = json.dumps([query, values], default=str, ensure_ascii=False)
    return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


def read_value(kind: type, value: Any) -> Any:
    """A value as `encode_token` wrote it, fit for a query. Raises ValueError or TypeError."""
    if kind is int:
        if type(value) is not int or not -(2**63) <= value < 2**63:
            raise ValueError("no 64-bit integer")
        return value
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("no text")
    value.encode()  # a lone surrogate is no text either
    return datetime.fromisoformat(value) if kind is datetime else kind(value)


def decode_token(token: str, query: str, types: list[type]) -> list[Any]:
    """The values in a token. Raises InvalidArgument (INVALID_PAGE_TOKEN)."""
    try:
        padded = token + "=" * (-len(token) % 4)
        bound, plain = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        values = [read_value(kind, value) for kind, value in zip(types, plain, strict=True)]
    except (ValueError, TypeError, RecursionError):  # whatever a made-up token does to the parsers
        bound, values = "", []
    if bound != query:
        raise InvalidArgument(
            Reason.INVALID_PAGE_TOKEN,
            "The page token is not valid for this query. Send it back unchanged, with the same"
            " filter and order as the page it came from.",
            fields=(("page_token", "not of this query"),),
        )
    return values
