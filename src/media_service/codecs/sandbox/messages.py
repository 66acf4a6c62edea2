"""Messages between the service and a child: four bytes of length (big-endian), then JSON."""

import json
import struct
from typing import Any

HEADER = struct.Struct(">I")
# That come with one request: a picture, what is laid over it, and the result.
MOST_FILES = 48


def encode(message: dict[str, Any]) -> bytes:
    """Raises ValueError for what JSON does not know, such as NaN."""
    payload = json.dumps(message, allow_nan=False).encode()
    return HEADER.pack(len(payload)) + payload
