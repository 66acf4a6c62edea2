"""A name server whose answers a test changes, over UDP."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

HEADER_BYTES = 12
A = 1


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """`answers`: the addresses of each next query for an address; the last ones stay. `silent`:
    names that get no answer. `asked`: how many such queries came."""

    answers: list[list[str]] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)
    asked: int = 0
    transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self.transport
        name, end = [], HEADER_BYTES
        while length := data[end]:
            name.append(data[end + 1 : end + 1 + length].decode())
            end += length + 1
        if ".".join(name) in self.silent:
            return
        found: list[str] = []
        if int.from_bytes(data[end + 1 : end + 3]) == A:
            self.asked += 1
            found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        # The id, "a response without an error", and the numbers of questions and of answers.
        head = data[:2] + b"\x81\x80" + b"\0\1" + len(found).to_bytes(2) + b"\0\0\0\0"
        # Each has the name of the question, the type A, the class IN, and no time to live.
        records = b"".join(
            b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(address) for address in found
        )
        self.transport.sendto(head + data[HEADER_BYTES : end + 5] + records, addr)

    @property
    def address(self) -> str:
        assert self.transport
        host, port = self.transport.get_extra_info("sockname")
        return f"{host}:{port}"


@asynccontextmanager
async def name_server(*answers: list[str]) -> AsyncIterator[NameServer]:
    server = NameServer(list(answers))
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=("127.0.0.1", 0))
    try:
        yield server
    finally:
        transport.close()
