"""A real Valkey or Redis server, on loopback."""

import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.support.ports import free_port
from tests.support.tools import eventually, missing


class ValkeyServer:
    """Runs for the context. It can be stopped, started again and frozen."""

    def __init__(self) -> None:
        program = shutil.which("valkey-server") or shutil.which("redis-server")
        self._program = program or missing("valkey-server or redis-server")
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
        options = {"--port": str(self._port), "--bind": "127.0.0.1", "--save": "", "--dir": "/"}
        words = [word for pair in options.items() for word in pair]
        self._process = subprocess.Popen([self._program, *words], stdout=subprocess.DEVNULL)
        eventually(self._answers)

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
