"""The service as a user starts it: `media-service dev`, on free ports in a fresh directory."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import jwt
import psutil

from tests.support.ports import free_port
from tests.support.stores.s3_server import ACCESS, BUCKET, SECRET

STOP_SECONDS = 60


@dataclass(frozen=True)
class Service:
    """A running service."""

    process: subprocess.Popen[str]
    environ: dict[str, str]
    base_url: str
    grpc_address: str
    data_dir: Path
    # The key that signs its tokens, or empty if only an external issuer signs them.
    secret: str
    # The lines that it printed once it was ready.
    welcome: tuple[str, ...]

    def token(self, user: str, **claims: object) -> str:
        """A token of `user` for one hour. `claims` add to or replace the default claims."""
        issued = datetime.now(UTC)
        usual = {"sub": user, "iat": issued, "exp": issued + timedelta(hours=1)}
        return jwt.encode({**usual, **claims}, self.secret, algorithm="HS256")

    def bearer(self, user: str, **claims: object) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token(user, **claims)}"}

    def children(self) -> list[psutil.Process]:
        """Its processes, except those of PostgreSQL, which may outlive it."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        return [process for process in found if not is_postgres(process)]

    def postgres(self) -> psutil.Process:
        pid = (self.data_dir / "postgres/postmaster.pid").read_text().splitlines()[0]
        return psutil.Process(int(pid))

    def settings(self) -> dict[str, str]:
        """The settings of its server, including the database address."""
        environ = self.part("serve").environ()
        return {k: v for k, v in environ.items() if k.startswith("MEDIA_")}

    def part(self, name: str) -> psutil.Process:
        """The process "serve" or "work". Their short-lived children initially look like them."""
        direct = psutil.Process(self.process.pid).children()
        (found,) = [p for p in direct if p.cmdline()[-1:] == [name]]
        return found

    def stop(self) -> int:
        """Sends SIGTERM and returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """The processes that still run after a grace period. Zombies are left to init."""
    _, left = psutil.wait_procs(processes, timeout=STOP_SECONDS / 2)
    return [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def environment(data_dir: Path, **settings: str) -> dict[str, str]:
    """The settings of one `dev`, without those of the caller's environment."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("MEDIA_")}
    return {
        **own,
        "MEDIA_DATA_DIR": str(data_dir),
        "MEDIA_GRPC_PORT": str(free_port()),
        "MEDIA_REST_PORT": str(free_port()),
        **settings,
    }


def start(environ: dict[str, str], *python: Path | str, stderr: IO[str] | None = None) -> Service:
    """Starts `dev` with `python`, and waits until it reports that it is ready."""
    process = subprocess.Popen(
        [*(python or [sys.executable]), "-m", "media_service", "dev"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    assert process.stdout
    welcome = []
    for line in process.stdout:
        welcome.append(line.rstrip("\n"))
        if "upload photo.jpg" in line and "curl" not in line:
            break
    process.stdout.close()
    assert any(line.startswith("Ready.") for line in welcome), f"dev ended: {process.wait()}"
    data_dir = Path(environ["MEDIA_DATA_DIR"])
    secret = environ.get("MEDIA_JWT_SECRET", "")
    if not secret and "MEDIA_JWT_JWKS" not in environ:
        secret = (data_dir / "jwt-secret").read_text().strip()
    return Service(
        process,
        environ,
        f"http://127.0.0.1:{environ['MEDIA_REST_PORT']}",
        f"127.0.0.1:{environ['MEDIA_GRPC_PORT']}",
        data_dir,
        secret,
        tuple(welcome),
    )


@contextmanager
def running(
    environ: dict[str, str], *python: Path | str, stderr: IO[str] | None = None
) -> Iterator[Service]:
    """Runs `dev` with `python` for the duration of the context. At the end, none of its processes
    may remain."""
    service = start(environ, *python, stderr=stderr)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            family = [*service.children(), service.postgres()]
            status = service.stop()
            assert status == 0
            assert alive(family) == []


def is_postgres(process: psutil.Process) -> bool:
    try:
        return process.name() == "postgres"
    except psutil.NoSuchProcess:
        return False


S3_KEYS = {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}


def bucket(endpoint: str, name: str = BUCKET, prefix: str = "some/prefix") -> str:
    return f"s3://{name}/{prefix}?endpoint={endpoint}&region=us-east-1&path_style=true"
