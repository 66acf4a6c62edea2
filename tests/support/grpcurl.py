"""The type of the grpcurl fixture, and a parser of its output."""

import json
from collections.abc import Callable
from typing import Any

Grpcurl = Callable[..., str]

API = "mediaservice.v1"


def many(text: str) -> list[dict[str, Any]]:
    """The consecutive JSON objects in a text."""
    decoder, found = json.JSONDecoder(), []
    while text := text.strip():
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:]
    return found
