"""A PostgreSQL that says nothing: frozen, or behind a network that drops every packet."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import psutil
import psycopg
from psycopg.conninfo import conninfo_to_dict

PORT = "5432"


@contextmanager
def frozen(url: str) -> Iterator[None]:
    """Stops every process of the PostgreSQL at `url`, which runs on this machine. The kernel still
    accepts connections and bytes for it."""
    with psycopg.connect(url, autocommit=True) as connection:
        backend = psutil.Process(connection.info.backend_pid)
        postmaster = backend.parent()
    assert postmaster is not None
    processes = [postmaster, *postmaster.children(recursive=True)]
    signal_all(processes, signal.SIGSTOP)
    try:
        yield
    finally:
        signal_all(processes, signal.SIGCONT)


def signal_all(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


class Line:
    """A TCP proxy in front of PostgreSQL."""

    def __init__(self, url: str) -> None:
        self._target = conninfo_to_dict(url)
        self._lost_after: tuple[bytes, ...] = ()
        self._passing = asyncio.Event()
        self._passing.set()
        self._silent: set[asyncio.StreamWriter] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.lost = asyncio.Event()

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await self._connect()
        self._open.add(writer)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._carry(reader, there[1], writer, asked=True))
                tasks.create_task(self._carry(there[0], writer, writer, asked=False))
        finally:
            self._open.discard(writer)
            for one in (writer, there[1]):
                one.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = str(self._target["host"]), self._target.get("port", PORT)
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, int(str(port)))

    def url(self, port: int) -> str:
        """The URL of the database through this proxy, which listens on `port`."""
        name, database = self._target["user"], self._target["dbname"]
        password = self._target.get("password", "")
        return f"postgresql://{name}:{password}@127.0.0.1:{port}/{database}"

    async def _carry(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        connection: asyncio.StreamWriter,
        *,
        asked: bool,
    ) -> None:
        seen: list[bytes] = []
        with suppress(ConnectionError):
            while data := await source.read(65536):
                if asked and self._is_last(data, seen):
                    self._lost_after = ()
                    target.write(data)
                    self._silent.add(connection)
                    self.lost.set()
                    continue
                await self._passing.wait()
                if connection not in self._silent:
                    target.write(data)
                    await target.drain()
            target.close()

    def silence(self) -> None:
        """Holds back every byte, also of new connections."""
        self._passing.clear()

    def resume(self) -> None:
        self._passing.set()

    def forget(self) -> None:
        """Drops every byte of the open connections, like a firewall that forgot them. New ones
        work."""
        self._silent |= self._open

    def lose_answer_to(self, *statements: bytes) -> None:
        """Drops the answer to the message that contains the last of these statements, once one
        connection has sent all of them in this order, and everything later on that connection. So
        the commit of a certain transaction is told from those of others. `lost` tells that this has
        happened."""
        self._lost_after = statements
        self.lost.clear()

    def _is_last(self, data: bytes, seen: list[bytes]) -> bool:
        """Whether a connection, which has sent what was `seen`, has now sent all statements."""
        if seen != list(self._lost_after[: len(seen)]):  # of another time
            seen.clear()
        while len(seen) < len(self._lost_after) and self._lost_after[len(seen)] in data:
            seen.append(self._lost_after[len(seen)])
        return bool(seen) and len(seen) == len(self._lost_after)

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def line_to(url: str) -> AsyncIterator[tuple[Line, str]]:
    """A line to the PostgreSQL at `url`, and the URL that leads through it."""
    line = Line(url)
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    try:
        yield line, line.url(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await line.close()
