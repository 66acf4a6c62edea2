"""A faulty network in front of a working store."""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from yarl import URL

# Headers of one connection, not of the message.
OWN = {"Connection", "Content-Length", "Expect", "Keep-Alive", "Transfer-Encoding"}

Fault = Callable[[web.BaseRequest, bytes], web.Response | int | str | Awaitable[object] | None]


class Network:
    """A proxy in front of the store. `fault` decides what happens to each request. None forwards
    it, and a number is the status of the response. "lost" executes the request without a response,
    "cut" sends half of the response, and "silent" sends nothing. An awaitable delays the response.
    While `deaf`, requests are not read."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self.fault: Fault = lambda request, body: None
        self.seen: list[tuple[str, str]] = []
        self.url = ""
        self.deaf = False
        self.closing = asyncio.Event()

    def fail(self, *faults: int | str) -> None:
        """Applies these faults to the next requests. Later requests pass."""
        left = list(faults)
        self.fault = lambda request, body: left.pop(0) if left else None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        if self.deaf:
            await self.closing.wait()
        if "Expect" in request.headers:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await request.content.read()
        self.seen.append((request.method, request.path))
        fault = self.fault(request, body)
        if fault == "silent":
            await self.closing.wait()
        if isinstance(fault, int):
            return web.Response(status=fault, text="no")
        if isinstance(fault, web.Response):
            return fault
        headers = {name: value for name, value in request.headers.items() if name not in OWN}
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method,
                URL(self._endpoint + request.raw_path, encoded=True),
                data=io.BytesIO(body) if body else None,
                headers=headers,
            ) as answer,
        ):
            data = await answer.read()
            if isinstance(fault, Awaitable):
                await fault
            if fault == "lost":
                request.transport.close()
                return web.Response()
            forwarded = {name: value for name, value in answer.headers.items() if name not in OWN}
            passed = web.StreamResponse(status=answer.status, headers=forwarded)
            passed.content_length = int(answer.headers.get("Content-Length", len(data)))
            await passed.prepare(request)
            if fault == "cut":
                await passed.write(data[: len(data) // 2])
                await asyncio.sleep(0.05)
                request.transport.close()
                return passed
            await passed.write(data)
            return passed


@asynccontextmanager
async def network_before(endpoint: str) -> AsyncIterator[Network]:
    network = Network(endpoint)
    runner = web.ServerRunner(web.Server(network.handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    network.url = f"http://{host}:{port}"
    try:
        yield network
    finally:
        network.closing.set()
        await runner.cleanup()
