"""Serves a folder over HTTP with ranges, CORS and an optional token."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from tests.support.ports import free_port

TYPES = {
    ".m3u8": "application/vnd.apple.mpegurl",
    ".mpd": "application/dash+xml",
    ".m4s": "video/mp4",
    ".mp4": "video/mp4",
}


@dataclass(frozen=True)
class FileServer:
    url: str
    folder: Path
    # The path and status of each answered request.
    answers: list[tuple[str, int]] = field(default_factory=list)
    # The required `Authorization` header, if any.
    authorization: str = ""


@asynccontextmanager
async def file_server(
    folder: Path, origin: str, authorization: str = ""
) -> AsyncIterator[FileServer]:
    server = FileServer(
        f"http://127.0.0.1:{(port := free_port())}", folder, authorization=authorization
    )

    async def answer(request: web.Request) -> web.StreamResponse:
        return find(request, server)

    async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Headers"] = "authorization, range"
        server.answers.append((request.path, response.status))

    app = web.Application()
    app.router.add_route("*", "/{path:.+}", answer)
    app.on_response_prepare.append(add_headers)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield server
    finally:
        await runner.cleanup()


def find(request: web.Request, server: FileServer) -> web.StreamResponse:
    if request.method == "OPTIONS":
        return web.Response()
    if server.authorization and request.headers.get("Authorization") != server.authorization:
        return web.Response(status=401)
    file = server.folder / request.match_info["path"]
    if not file.is_file():
        return web.Response(status=404)
    return web.FileResponse(file, headers={"Content-Type": TYPES[file.suffix]})
