"""Messages between the service and a child process: a length of four bytes (big-endian), then
JSON."""

import json
import struct
from typing import Any

HEADER = struct.Struct(">I")
# The maximum number of files in a request: an image, its overlays, and the outputs.
MAX_FILES = 48


def encode(message: dict[str, Any]) -> bytes:
    """Encodes a message. Raises ValueError for values that JSON cannot represent, such as NaN."""
    payload = json.dumps(message, allow_nan=False).encode()
    return HEADER.pack(len(payload)) + payload
