"""Child processes that the servers and workers of several tests use one after another, as one
server uses them for the files of several users."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from media_service import app
from media_service.codecs.image_renderer import ImageRenderer
from media_service.config import Config


class ChildPools:
    """One pool for each set of settings that matter to it. Leaving `stack` ends the processes."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._renderers: dict[tuple[int, ...], ImageRenderer] = {}
        self._codecs: dict[tuple[int, ...], app.Codecs] = {}

    @asynccontextmanager
    async def renderer(self, config: Config) -> AsyncIterator[ImageRenderer]:
        settings = app.render_children(config), config.max_pixels
        if settings not in self._renderers:
            opened = await self._stack.enter_async_context(app.on_demand_renderer(config))
            self._renderers[settings] = opened
        yield self._renderers[settings]

    @asynccontextmanager
    async def codecs(self, config: Config) -> AsyncIterator[app.Codecs]:
        settings = config.worker_slots, config.max_pixels
        if settings not in self._codecs:
            opened = await self._stack.enter_async_context(app.worker_codecs(config))
            self._codecs[settings] = opened
        yield self._codecs[settings]
