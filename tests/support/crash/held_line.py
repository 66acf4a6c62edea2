"""A TCP proxy that holds back bytes after a limit."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.service import STOP_SECONDS


class Line:
    """A TCP proxy to the gRPC port that forwards `limit` bytes of its callers, and holds back the
    rest until it is released."""

    def __init__(self, target: str, limit: int) -> None:
        self._target = target
        self._left = limit
        self._released = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._run(self._accept)

    def _run(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                caller, _ = self._listener.accept()
                self._open.append(caller)
                self._connect(caller)

    def _connect(self, caller: socket.socket) -> None:
        host, _, port = self._target.rpartition(":")
        try:
            service = socket.create_connection((host, int(port)))
        except OSError:
            caller.close()  # the server is not listening at the moment
            return
        self._open.append(service)
        self._run(self._carry, caller, service, True)
        self._run(self._carry, service, caller, False)

    def _carry(self, source: socket.socket, target: socket.socket, limited: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if limited:
                    self._left -= len(data)
                    if self._left < 0:
                        self._released.wait()
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        self._released.set()

    def cut(self) -> None:
        """Breaks every connection. Later ones have no limit."""
        for end in self._open[1:]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._released.set()

    def close(self) -> None:
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._released.set()
        for thread in self._threads:
            thread.join(STOP_SECONDS)


@contextlib.contextmanager
def held_line(address: str, limit: int) -> Iterator[Line]:
    line = Line(address, limit)
    try:
        yield line
    finally:
        line.close()
