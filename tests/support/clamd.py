"""A real clamd for tests, which knows one signature: that of the EICAR test file."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.ports import free_port
from tests.support.tools import eventually, missing

# Harmless, and detected by every scanner. In two parts, so that no scanner finds it in this file.
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-" + rb"STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
# What clamd calls it; the suffix says that the signature is a local one.
THREAT = "Eicar-Test-Signature.UNOFFICIAL"
SIGNATURE = f"Eicar-Test-Signature:0:*:{EICAR.hex()}"
STREAM_MAX = 2 << 20
FILE_MAX = 1 << 20


def infected(data: bytes) -> bytes:
    """A file that is still readable, with the test file behind its end."""
    return data + EICAR


@dataclass
class Clamd:
    """A daemon in a folder, which listens on a TCP port and a Unix socket."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def tcp(self) -> str:
        return f"clamd://127.0.0.1:{self.port}"

    @property
    def unix(self) -> str:
        return f"clamd://{self.folder}/clamd.sock"

    def start(self, signature: str = SIGNATURE, **settings: str) -> None:
        """Starts it, and waits until it answers. `settings` replace those of its file."""
        database = self.folder / "signatures"
        database.mkdir(exist_ok=True)
        (database / "local.ndb").write_text(f"{signature}\n")
        (self.folder / "clamd.sock").unlink(missing_ok=True)
        merged = {
            "LocalSocket": f"{self.folder}/clamd.sock",
            "TCPSocket": str(self.port),
            "TCPAddr": "127.0.0.1",
            "DatabaseDirectory": str(database),
            "TemporaryDirectory": str(self.folder),
            "Foreground": "yes",
            "AlertExceedsMax": "yes",
            "StreamMaxLength": str(STREAM_MAX),
            "MaxFileSize": str(FILE_MAX),
            **settings,
        }
        file = self.folder / "clamd.conf"
        file.write_text("".join(f"{name} {value}\n" for name, value in merged.items()))
        self.process = subprocess.Popen(
            [clamd_program(), f"--config-file={file}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(self._answers)

    def add_signature(self, signature: str, content: bytes) -> None:
        """Adds a local signature while it runs, and waits until it finds the content."""
        with (self.folder / "signatures" / "local.ndb").open("a") as file:
            file.write(f"{signature}\n")
        assert self._ask(b"zRELOAD\0") == b"RELOADING\0"
        scan = b"zINSTREAM\0" + len(content).to_bytes(4, "big") + content + bytes(4)
        eventually(lambda: self._ask(scan).endswith(b"FOUND\0"))

    def version(self) -> bytes:
        return self._ask(b"zVERSION\0")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "clamd ended"
        try:
            return self._ask(b"zPING\0") == b"PONG\0"
        except OSError:
            return False

    def _ask(self, command: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.settimeout(20)
            connection.sendall(command)
            return connection.recv(1000)


def clamd_program() -> str:
    """Debian has it in a folder that is only on the path of the superuser."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    return shutil.which("clamd", path=path) or missing("clamd")


@contextmanager
def running_clamd(**settings: str) -> Iterator[Clamd]:
    with tempfile.TemporaryDirectory(prefix="clamd-") as folder:  # the path of a socket is short
        clamd = Clamd(Path(folder))
        clamd.start(**settings)
        try:
            yield clamd
        finally:
            clamd.kill()
