"""What a test keeps its things in: a database and a directory."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Self

from media_service.codecs.sandbox.forks import ForkServer
from tests.support.databases import CleanDatabases
from tests.support.rpc.server import Running, Start
from tests.support.rpc.shared_service import SharedService
from tests.support.rpc.starter import starter

# The settings of a shared server.
Settings = frozenset[tuple[str, str]]


class SharedServices:
    """The servers that the tests of a file share, until the context ends. Each has a database and a
    directory of its own."""

    def __init__(
        self, databases: CleanDatabases, new_folder: Callable[[], Path], fork_server: ForkServer
    ) -> None:
        self.databases = databases
        self.fork_server = fork_server
        self._new_folder = new_folder
        self._services: dict[tuple[bool, Settings], SharedService] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for service in self._services.values():
            await service.stop()

    def find(self, work: bool, settings: Settings) -> SharedService:
        if (work, settings) not in self._services:
            self._services[work, settings] = SharedService(
                self.databases, self._new_folder, self.fork_server, work, dict(settings)
            )
        return self._services[work, settings]


class Place:
    """The database and the directory of a test. They are its own, unless the first thing that it
    asks for is a server that it need not start itself: then they are those of a shared one."""

    def __init__(self, shared: SharedServices, folder: Path, stack: AsyncExitStack) -> None:
        self._shared = shared
        self._folder = folder
        self._stack = stack
        self._url = ""
        self._start: Start | None = None
        self._lent: dict[tuple[bool, Settings], Running] = {}

    @property
    def database_url(self) -> str:
        if not self._url:
            self._url = self._stack.enter_context(self._shared.databases.take())
        return self._url

    async def start(self, **options: object) -> Running:
        """Starts a server with options of `Start`."""
        if self._start is None:
            starting = starter(self.database_url, self._folder, self._shared.fork_server)
            self._start = await self._stack.enter_async_context(starting)
        return await self._start(**options)

    async def lend(self, *, work: bool = False, **settings: str) -> Running:
        """A server with these settings, of which a test only needs that it runs."""
        key = work, frozenset(settings.items())
        if key in self._lent:
            return self._lent[key]
        if self._url:
            return await self.start(work=work, **settings)
        running = await self._stack.enter_async_context(self._shared.find(*key).lent())
        self._url, self._folder = running.database_url, running.data_dir
        self._lent[key] = running
        return running


@asynccontextmanager
async def place_of_test(shared: SharedServices, folder: Path) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        yield Place(shared, folder, stack)
