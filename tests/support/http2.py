"""A client that speaks HTTP/2 in frames (RFC 9113), to send what libraries refuse to send: messages
that never end, and resets in a row."""

import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 3, 4
CANCEL = 8
FRAME_SIZE = 16384


@dataclass(frozen=True)
class Frame:
    type: int
    flags: int
    stream: int
    payload: bytes

    @property
    def settings(self) -> dict[int, int]:
        return dict(struct.iter_unpack(">HI", self.payload))


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return (
        struct.pack(">I", len(payload))[1:]
        + bytes([kind, flags])
        + struct.pack(">I", stream)
        + payload
    )


def text(value: str) -> bytes:
    """A string of HPACK, without Huffman coding."""
    raw = value.encode()
    if len(raw) < 127:
        return bytes([len(raw)]) + raw
    length, rest = bytearray([127]), len(raw) - 127
    while rest > 127:
        length.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*length, rest]) + raw


def headers(fields: Mapping[str, str]) -> bytes:
    """A header block without compression."""
    return b"".join(b"\x00" + text(name) + text(value) for name, value in fields.items())


class Http2:
    """A connection to `address` ("host:port"). `window`: the bytes that the peer may send in each
    stream; the connection's window is as large as possible."""

    def __init__(self, address: str, *, window: int = 65535) -> None:
        host, port = address.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), 30)
        self._address = address
        self._next = 1
        self._received = b""
        settings = struct.pack(">HI", INITIAL_WINDOW_SIZE, window)
        self.send(
            PREFACE
            + frame(SETTINGS, 0, 0, settings)
            + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**31 - 1 - 65535))
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def request(self, method: str, path: str, fields: Mapping[str, str], *, end: bool) -> int:
        """Sends the headers of a request. Returns the number of its stream."""
        stream, self._next = self._next, self._next + 2
        block = headers(
            {":method": method, ":scheme": "http", ":path": path, ":authority": self._address}
            | dict(fields)
        )
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block))
        return stream

    def call(self, method: str, fields: Mapping[str, str] | None = None) -> int:
        """Starts a gRPC call, such as "mediaservice.v1.MediaService/GetMedia"."""
        grpc = {"content-type": "application/grpc", "te": "trailers"}
        return self.request("POST", f"/{method}", grpc | dict(fields or {}), end=False)

    def data(self, stream: int, data: bytes, *, end: bool = False) -> None:
        for at in range(0, len(data), FRAME_SIZE):
            self.send(frame(DATA, 0, stream, data[at : at + FRAME_SIZE]))
        if end:
            self.send(frame(DATA, END_STREAM, stream))

    def reset(self, stream: int) -> None:
        self.send(frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL)))

    def widen(self, stream: int, count: int) -> None:
        """Lets the peer send `count` more bytes in a stream."""
        self.send(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", count)))

    def frames(self, seconds: float = 30) -> Iterator[Frame]:
        """The frames that arrive, until the peer closes the connection or is silent for `seconds`.
        Settings are acknowledged."""
        self._socket.settimeout(seconds)
        while True:
            while len(self._received) < 9 or len(self._received) < 9 + self._length():
                try:
                    more = self._socket.recv(1 << 20)
                except (TimeoutError, ConnectionError):
                    return
                if not more:
                    return
                self._received += more
            end = 9 + self._length()
            raw, self._received = self._received[:end], self._received[end:]
            found = Frame(raw[3], raw[4], struct.unpack(">I", raw[5:9])[0], raw[9:])
            if found.type == SETTINGS and not found.flags & ACK:
                with suppress(ConnectionError):
                    self.send(frame(SETTINGS, ACK, 0))
            yield found

    def _length(self) -> int:
        return int.from_bytes(self._received[:3])
