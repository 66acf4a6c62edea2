"""Finds the addresses of names, as the operating system is configured to.

`getaddrinfo` needs a thread for each name, and nothing ends its wait: a few name servers that do
not answer would hold up all others. Here, all queries share one thread, and each has a limit.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Sequence
from typing import Any

from pycares import AddrInfoResult, AresError, Channel
from pycares.errno import strerror

# Of the first query to a name server; the next one waits twice as long.
QUERY_SECONDS = 2.0
QUERIES = 2


class Names:
    """`servers`: name servers as "ADDRESS:PORT", instead of those of the operating system."""

    def __init__(self, servers: Sequence[str] = ()) -> None:
        self._channel = Channel(timeout=QUERY_SECONDS, tries=QUERIES, servers=servers or None)

    async def find(
        self, host: str, family: socket.AddressFamily
    ) -> list[tuple[socket.AddressFamily, str]]:
        """Raises OSError."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[tuple[socket.AddressFamily, str]]] = loop.create_future()

        def answer(result: AddrInfoResult | None, error: int | None) -> None:
            if found.done():
                return
            if result is None or error:
                found.set_exception(OSError(errno.EHOSTUNREACH, strerror(error or 0)))
            else:
                found.set_result([addressed(node) for node in result.nodes])

        def arrived(result: AddrInfoResult | None, error: int | None) -> None:
            """In the thread of the channel."""
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(answer, result, error)

        try:
            self._channel.getaddrinfo(
                host, None, family=family, type=socket.SOCK_STREAM, callback=arrived
            )
        except (AresError, ValueError) as error:
            raise OSError(errno.EHOSTUNREACH, str(error)) from None
        return await found

    def close(self) -> None:
        self._channel.close()


def addressed(node: Any) -> tuple[socket.AddressFamily, str]:
    return socket.AddressFamily(node.family), node.addr[0].decode()
