"""A real Valkey or Redis server, on loopback."""

import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from redis import Redis
from redis.exceptions import RedisError

from tests.support.ports import free_port
from tests.support.tools import eventually, missing


class ValkeyServer:
    """Runs for the context. It can be stopped, started again and frozen. `folder`: where it keeps
    its data; without one, they end with it."""

    def __init__(self, folder: Path | None = None) -> None:
        program = shutil.which("valkey-server") or shutil.which("redis-server")
        self._program = program or missing("valkey-server or redis-server")
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        self._run({"--port": str(self._port), "--dir": str(self._folder or "/")})
        eventually(self._answers)

    def start_for(self, first: Callable[[str], None]) -> None:
        """Starts it, and calls `first` with a URL, before others can connect."""
        assert self._folder
        path = self._folder / "socket"
        self._run({"--port": "0", "--unixsocket": str(path), "--dir": str(self._folder)})
        eventually(path.exists)
        client: Any = Redis(unix_socket_path=str(path))
        eventually(lambda: suppressed(client.ping))
        first(f"unix://{path}")
        client.config_set("port", self._port)
        client.close()

    def _run(self, options: dict[str, str]) -> None:
        kept = {"--appendonly": "yes", "--appendfsync": "always"} if self._folder else {}
        options = {"--bind": "127.0.0.1", "--save": "", **kept, **options}
        words = [word for pair in options.items() for word in pair]
        self._process = subprocess.Popen([self._program, *words], stdout=subprocess.DEVNULL)

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port)) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"+PONG\r\n"
        return False

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It keeps its connections, and does not answer."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)


def suppressed(call: Callable[[], Any]) -> Any:
    """Its result, or None if it cannot connect or the data are still loaded."""
    with suppress(RedisError):
        return call()
    return None
