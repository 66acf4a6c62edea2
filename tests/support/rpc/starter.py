"""Starts servers in the test's process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from pathlib import Path

from media_service import app
from media_service.codecs.sandbox.forks import ForkServer
from media_service.config import load
from media_service.storage.blob_store import open_store
from tests.support.rpc.server import NO_PRESETS, SECRET, Running, Start


@asynccontextmanager
async def starter(database_url: str, folder: Path, fork_server: ForkServer) -> AsyncIterator[Start]:
    """Starts servers on a database and a directory, with the given settings, which run for the
    context. `opener` opens their stores."""
    forks = nullcontext(fork_server)
    async with AsyncExitStack() as stack:

        async def start_one(
            *, work: bool = False, opener: app.Opener = open_store, **settings: str
        ) -> Running:
            environ = {
                "MEDIA_DATA_DIR": str(folder),
                "MEDIA_DATABASE_URL": database_url,
                "MEDIA_DATABASE_POOL_SIZE": "8",
                "MEDIA_JWT_SECRET": SECRET,
                **NO_PRESETS,
                **{f"MEDIA_{name.upper()}": value for name, value in settings.items()},
            }
            config = load(environ)
            rpc = await stack.enter_async_context(app.server(config, 0, opener, forks))
            if work:
                ready = asyncio.Event()
                worker = asyncio.create_task(app.work(config, ready.set, opener, forks))
                stack.push_async_callback(stop, worker)
                await ready.wait()
            channels = await stack.enter_async_context(AsyncExitStack())
            return Running(f"127.0.0.1:{rpc.port}", folder, database_url, channels, environ)

        yield start_one


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
