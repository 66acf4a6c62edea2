"""Sends one request to a receiver.

A name is resolved once for a connection, its addresses are checked, and the connection goes to one
of those that are allowed. So a name server that answers differently the second time changes
nothing. Redirects are not followed: they would lead to an address that nobody checked.
"""

import asyncio
import errno
import socket
import ssl
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from aiohttp import (
    ClientError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from media_service.webhooks.addresses import Destinations, NotAllowed
from media_service.webhooks.model import SUCCESS, Answer
from media_service.webhooks.names import Names
from media_service.webhooks.shares import ATTEMPTS

TIMEOUT_SECONDS = 10.0
# Of an answer: the most that is read, and that is kept.
READ_BYTES = 1024
EXCERPT = 200
# The resolver gives addresses, not names.
NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
# Of headers of an answer.
MAX_HEADER = 8190


class CheckedResolver(AbstractResolver):
    """Finds only addresses that are allowed."""

    def __init__(self, destinations: Destinations, names: Names, *, encrypted: bool) -> None:
        self._destinations = destinations
        self._names = names
        self._encrypted = encrypted

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises OSError."""
        allowed = [
            ResolveResult(
                hostname=host, host=address, port=port, family=kind, proto=0, flags=NUMERIC
            )
            for kind, address in await self._names.find(host, family)
            if self._destinations.allow(address, port, encrypted=self._encrypted)
        ]
        if not allowed:
            raise OSError(errno.EHOSTUNREACH, "the name has no address that webhooks may reach")
        return allowed

    async def close(self) -> None:
        """Names are closed by the sender."""


class Sender:
    """Is an async context manager: outside, it sends nothing."""

    def __init__(self, destinations: Destinations, names: Names | None = None) -> None:
        self._destinations = destinations
        self._names = names or Names()
        self._sessions: dict[str, ClientSession] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for session in self._sessions.values():
            await session.close()
        self._names.close()

    def _session(self, scheme: str) -> ClientSession:
        """Opened when it is needed first: loading the authorities takes a third of the start of a
        worker."""
        if scheme not in self._sessions:
            self._sessions[scheme] = self._open(encrypted=scheme == "https")
        return self._sessions[scheme]

    def _open(self, *, encrypted: bool) -> ClientSession:
        return ClientSession(
            connector=TCPConnector(
                resolver=CheckedResolver(self._destinations, self._names, encrypted=encrypted),
                ssl=ssl.create_default_context() if encrypted else True,
                use_dns_cache=False,
                limit=ATTEMPTS,
            ),
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=TIMEOUT_SECONDS),
            auto_decompress=False,
            max_line_size=MAX_HEADER,
            max_field_size=MAX_HEADER,
            trust_env=False,
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        start = time.monotonic()
        try:
            # The connector does not resolve what is an address already.
            self._destinations.check(url)
            status, excerpt = await self._send(URL(url), headers, body)
        except NotAllowed as error:
            return Answer(0, time.monotonic() - start, f"the URL {error}")
        except TimeoutError:
            return Answer(0, time.monotonic() - start, "no answer in time")
        except (ClientError, OSError, ValueError) as error:
            return Answer(0, time.monotonic() - start, str(error)[:EXCERPT] or "no connection")
        seconds = time.monotonic() - start
        why = "" if status in SUCCESS else f"the receiver answered {status}"
        return Answer(status, seconds, why, excerpt)

    async def _send(self, url: URL, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        async with (
            asyncio.timeout(TIMEOUT_SECONDS),
            self._session(url.scheme).post(
                url, data=body, headers=headers, allow_redirects=False
            ) as response,
        ):
            start = await response.content.read(READ_BYTES)
            if not response.content.at_eof():
                response.close()  # what follows is not read
            text = start.decode(errors="replace")[:EXCERPT]
            return response.status, "".join(c if c.isprintable() else " " for c in text)
