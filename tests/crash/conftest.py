"""A whole service that can be struck by SIGKILL, and started again on the same data."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import STOP_SECONDS, Service, alive, environment, start


class Machine:
    """One `dev` with ports and data of its own."""

    def __init__(self, folder: Path) -> None:
        # One slot, so that a job which does not end leaves the others waiting.
        self._environ = environment(folder / "data", MEDIA_WORKER_SLOTS="1")
        self.service = start(self._environ)
        self._dying: list[psutil.Process] = []

    def kill_part(self, name: str) -> None:
        """SIGKILL to "serve" or "work", in whose place `dev` starts another."""
        part = self.service.part(name)
        part.kill()
        part.wait(STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL to `dev`; PostgreSQL outlives it."""
        self._dying = self.service.children()
        self.service.process.kill()

    def restart(self) -> None:
        """Once all that was killed, and what ends with it, is gone."""
        self.service.process.wait(STOP_SECONDS)
        assert alive(self._dying) == []
        self.service = start(self._environ)

    def close(self) -> None:
        if self.service.process.poll() is None:
            family = self.service.children()
            self.service.stop()
            assert alive(family) == []
        with contextlib.suppress(OSError, psutil.NoSuchProcess):  # a failed test left it behind
            self.service.postgres().terminate()


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="media-crash-") as folder:
        machine = Machine(Path(folder))
        try:
            yield machine
        finally:
            machine.close()


class Line:
    """A TCP line to the gRPC port that carries `limit` bytes of its callers, and then holds back
    the rest until it is released."""

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
            caller.close()  # nobody is there at the moment
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
        """Breaks every connection; later ones are carried without a limit."""
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


def command(
    service: Service, *arguments: str, address: str = "", user: str = "alice"
) -> subprocess.Popen[str]:
    """`media-service …` as a user runs it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("MEDIA_")}
    return subprocess.Popen(
        [sys.executable, "-m", "media_service", *arguments],
        env={
            **own,
            "MEDIA_ADDRESS": address or service.grpc_address,
            "MEDIA_TOKEN": service.token(user),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output(process: subprocess.Popen[str]) -> str:
    """What a command printed, which must succeed."""
    printed, complaints = process.communicate(timeout=STOP_SECONDS)
    assert process.returncode == 0, complaints
    return printed
