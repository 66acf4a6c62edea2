"""What AWS asks of those who complete multipart uploads, before servers that do not ask it.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompletedPart.html
"""

import asyncio
import io
import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import aiohttp
from aiohttp import web
from yarl import URL

# Headers of one connection, not of the message.
OWN = {"Connection", "Content-Length", "Expect", "Keep-Alive", "Transfer-Encoding"}
NUMBER = re.compile(rb"<PartNumber>(\d+)</PartNumber>")
CHUNK = 1 << 20


def refusal(body: bytes) -> web.Response | None:
    """The answer to a complete whose numbers are not 1, 2, 3, …"""
    numbers = [int(number) for number in NUMBER.findall(body)]
    if numbers == list(range(1, len(numbers) + 1)):
        return None
    return web.Response(status=400, text="<Error><Code>InvalidPartOrder</Code></Error>")


class Gate:
    """Lets everything pass to `endpoint` but what AWS would refuse."""

    def __init__(self, endpoint: str, session: aiohttp.ClientSession) -> None:
        self._endpoint = endpoint
        self._session = session

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        if "Expect" in request.headers:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await request.content.read()
        if request.method == "POST" and "uploadId" in request.query and (no := refusal(body)):
            return no
        async with self._session.request(
            request.method,
            URL(self._endpoint + request.raw_path, encoded=True),
            data=io.BytesIO(body) if body else None,
            headers={name: value for name, value in request.headers.items() if name not in OWN},
            skip_auto_headers=("Content-Type", "User-Agent", "Accept", "Accept-Encoding"),
            allow_redirects=False,
        ) as answer:
            told = {name: value for name, value in answer.headers.items() if name not in OWN}
            passed = web.StreamResponse(status=answer.status, headers=told)
            passed.content_length = int(answer.headers.get("Content-Length", 0))
            await passed.prepare(request)
            async for piece in answer.content.iter_chunked(CHUNK):
                await passed.write(piece)
            return passed


@asynccontextmanager
async def gate_before(endpoint: str) -> AsyncIterator[str]:
    options = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(auto_decompress=False, timeout=options) as session:
        runner = web.ServerRunner(web.Server(Gate(endpoint, session).handle), shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        try:
            yield f"http://{host}:{port}"
        finally:
            await runner.cleanup()


@contextmanager
def as_on_aws(endpoint: str) -> Iterator[str]:
    """The endpoint of the same store with AWS's rules; served by a thread of its own."""
    opened, over = threading.Event(), asyncio.Event()
    loop, urls = asyncio.new_event_loop(), list[str]()

    async def serve() -> None:
        async with gate_before(endpoint) as url:
            urls.append(url)
            opened.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert opened.wait(10)
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
