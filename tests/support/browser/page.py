"""Serves the page with the players and other libraries, on loopback."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from tests.support.tools import missing

LIBRARIES = ("hls", "dash", "uppy", "dropzone", "filepond", "grpc-web")


def libraries() -> list[Path]:
    """The scripts in the folder that .ci/run fills."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    scripts = [cache / f"media-service/players/{name}.js" for name in LIBRARIES]
    for script in scripts:
        if not script.exists():
            missing(str(script))
    return scripts


@asynccontextmanager
async def player_page(origin: str) -> AsyncIterator[None]:
    """Serves the page at `origin`."""
    here = Path(__file__).parent
    app = web.Application()
    for script in (*libraries(), *here.glob("*.js")):
        app.router.add_get(f"/{script.name}", serve(script))
    app.router.add_get("/", serve(here / "player.html"))
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        where = urlsplit(origin)
        await web.TCPSite(runner, where.hostname, where.port).start()
        yield
    finally:
        await runner.cleanup()


def serve(file: Path) -> Any:
    async def answer(request: web.Request) -> web.FileResponse:
        return web.FileResponse(file)

    return answer
