"""A real RabbitMQ, on loopback, with a data directory, an Erlang cookie and an epmd of its own."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.ports import free_port
from tests.support.tools import PATIENCE_SECONDS, eventually, missing

# Debian's wrapper on the path runs it as another user.
PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
# It is started many times at once with others.
START_SECONDS = 3 * PATIENCE_SECONDS


class RabbitmqServer:
    """Runs for the context. It can be killed, started again and frozen, and keeps its queues."""

    def __init__(self) -> None:
        if not PROGRAM.exists() or not shutil.which("epmd"):
            missing("rabbitmq-server")
        self._folder = tempfile.TemporaryDirectory(prefix="rabbitmq-")
        self.port = free_port()
        self.names_port, self.distribution_port = free_port(), free_port()
        self._names: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def __enter__(self) -> Self:
        self._names = subprocess.Popen(
            ["epmd", "-address", "127.0.0.1", "-port", str(self.names_port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
        if self._names:
            self._names.kill()
            self._names.wait()
        self._folder.cleanup()

    def start(self) -> None:
        folder = Path(self._folder.name)
        settings = folder / "rabbitmq.conf"
        settings.write_text(
            f"listeners.tcp.default = 127.0.0.1:{self.port}\n"
            "log.console = true\nlog.console.level = error\nlog.file = false\n"
            # It refuses to work with little free disk; tests store nothing.
            "disk_free_limit.absolute = 1MB\n"
        )
        variables = {
            "HOME": str(folder),  # for the Erlang cookie
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(settings),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_NODENAME": "media@localhost",
            "RABBITMQ_ENABLED_PLUGINS": "",
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self.names_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none +sbwtdcpu none"
            ),
            # The script becomes the server, which ends when its input ends: with this process.
            "RABBITMQ_ALLOW_INPUT": "1",
        }
        self._process = subprocess.Popen(
            [PROGRAM],
            env=os.environ | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(self._answers, START_SECONDS)

    def _answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, "RabbitMQ ended"
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.settimeout(1)
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return connection.recv(1) == b"\x01"
        except OSError:
            return False

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            assert self._process.stdin
            self._process.stdin.close()
            self._process = None

    def freeze(self) -> None:
        """It keeps its connections, and does not answer."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)
