"""Messages between the service, a fork server and a child process: a length of four bytes
(big-endian), then JSON."""

import json
import socket
import struct
from typing import Any

HEADER = struct.Struct(">I")
# The maximum number of files in a request: an image, its overlays, and the outputs.
MAX_FILES = 48


def encode(message: dict[str, Any]) -> bytes:
    """Encodes a message. Raises ValueError for values that JSON cannot represent, such as NaN."""
    payload = json.dumps(message, allow_nan=False).encode()
    return HEADER.pack(len(payload)) + payload


def receive(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Receives the next message and its files, and blocks until it is complete. Raises EOFError
    when the other end is closed."""
    header, files, _, _ = socket.recv_fds(channel, HEADER.size, MAX_FILES)
    header += read_exactly(channel, HEADER.size - len(header))
    message: dict[str, Any] = json.loads(read_exactly(channel, *HEADER.unpack(header)))
    return message, files


def read_exactly(channel: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        received = channel.recv(size - len(data))
        if not received:
            raise EOFError
        data += received
    return data
