"""A receiver of webhooks, over HTTP or HTTPS."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.support.ports import free_port


@dataclass(frozen=True)
class Received:
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Receiver:
    """`answers`: the status codes of the next requests; then 204. `text`: the body of answers.
    `held`: paths whose requests wait for their answer until `release` is set."""

    port: int
    received: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    text: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(request.path, headers, await request.read()))
        if request.path in self.held:
            await self.release.wait()
        status = self.answers.pop(0) if self.answers else (200 if self.text else 204)
        return web.Response(status=status, body=self.text, headers=self.headers)


@asynccontextmanager
async def receiver(
    tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Receiver]:
    opened = Receiver(port or free_port())
    application = web.Application()
    application.router.add_post("/{path:.*}", opened.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, host, opened.port, ssl_context=tls).start()
    try:
        yield opened
    finally:
        opened.release.set()
        await runner.cleanup()
