"""The service as `dev` runs it, and the bare limits, each in its own process.

There is no worker, so that the figures show the server alone: inspection follows the response.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg.sql import SQL, Identifier

from media_service.cli.dev import healthy
from media_service.cli.supervisor import Supervisor
from media_service.cli.token_signing import sign
from media_service.config import Config, load
from media_service.db.embedded_postgres import embedded_postgres
from media_service.db.migrate import migrate
from media_service.envoy_config import render

READY_SECONDS = 60.0
# The size of gRPC messages in both directions, for the service and the limit.
MESSAGE = 512 << 10
BUCKET = "media"


@dataclass(frozen=True)
class Addresses:
    """The gRPC addresses of a service and of its limit."""

    service: str
    limit: str


@dataclass(frozen=True)
class Stack:
    """Addresses, and the ids of the processes whose CPU time and memory are measured."""

    folder: Path
    settings: Mapping[str, str]  # of the server
    database_url: str
    grpc: str
    rest: str
    token: str
    bare_grpc: str
    bare_rest: str
    tusd: str  # a URL, or empty if tusd is not installed
    on_s3: Addresses | None  # None without an S3 server
    pids: dict[str, int]

    @property
    def scratch(self) -> Path:
        """The folder for files of the limits, on the service's file system."""
        return self.folder / "scratch"

    @property
    def blobs(self) -> Path:
        return self.folder / "data/raw/blobs"

    @property
    def log(self) -> Path:
        """The output of all processes."""
        return self.folder / "log"

    def discard(self) -> None:
        """Removes stored bytes without the service's knowledge, to free disk space."""
        for folder in (self.blobs, self.scratch):
            for path in folder.rglob("*"):
                if path.is_file():
                    path.unlink()


@contextmanager
def running(folder: Path) -> Iterator[Stack]:
    """Runs everything for the duration of the context, with all data in `folder`.

    Runs code between fork and exec, so call it before any thread starts.
    """
    ports = free_ports(8)
    secret = secrets.token_hex(32)
    (folder / "scratch").mkdir()
    with ExitStack() as stack:
        url = stack.enter_context(embedded_postgres(folder / "postgres"))
        asyncio.run(migrate(url))
        environ = {name: value for name, value in os.environ.items() if name[:6] != "MEDIA_"}
        settings = {
            "MEDIA_DATA_DIR": str(folder / "data"),
            "MEDIA_DATABASE_URL": url,
            "MEDIA_JWT_SECRET": secret,
            "MEDIA_GRPC_PORT": str(ports[0]),
            "MEDIA_REST_PORT": str(ports[1]),
            # Checked as by default, and never met.
            **{f"MEDIA_RATE_{name}": "100000000/h" for name in ("CALLER", "ADDRESS", "GATEWAY")},
        }
        config = load(settings)
        bare = load({"MEDIA_GRPC_PORT": str(ports[2]), "MEDIA_REST_PORT": str(ports[3])})
        log = stack.enter_context((folder / "log").open("ab"))
        children = stack.enter_context(Supervisor())

        def start(name: str, *command: str, **more: str) -> None:
            children.start(name, command, {**environ, **more}, log)

        start("server", sys.executable, "-m", "media_service", "serve", **settings)
        start("Envoy", *envoy(config, folder / "envoy.yaml"))
        bare_loop = [url, str(folder / "scratch")]
        start(
            "bare", sys.executable, "-m", "benchmarks.bare", str(ports[2]), str(MESSAGE), *bare_loop
        )
        start("bare Envoy", *envoy(bare, folder / "bare-envoy.yaml"))
        if gateway := find_program("versitygw"):
            (folder / "s3" / BUCKET).mkdir(parents=True)
            endpoint, keys = f"http://127.0.0.1:{ports[5]}", {"AWS_ACCESS_KEY_ID": "bench"}
            keys["AWS_SECRET_ACCESS_KEY"] = secrets.token_hex(16)
            root = {
                "ROOT_ACCESS_KEY": keys["AWS_ACCESS_KEY_ID"],
                "ROOT_SECRET_KEY": keys["AWS_SECRET_ACCESS_KEY"],
            }
            where = ["--port", f"127.0.0.1:{ports[5]}", "posix", str(folder / "s3")]
            start("S3", gateway, "--quiet", *where, **root)
            await_port(ports[5])
            # Another raw store needs a database of its own.
            database = new_database(url, "on_s3")
            asyncio.run(migrate(database))
            on_s3 = {
                **settings,
                **keys,
                "MEDIA_DATA_DIR": str(folder / "data-on-s3"),
                "MEDIA_DATABASE_URL": database,
                "MEDIA_GRPC_PORT": str(ports[6]),
                "MEDIA_STORAGE_RAW_URL": f"s3://{BUCKET}/media?endpoint={endpoint}"
                "&region=us-east-1&path_style=true",
            }
            start("server on S3", sys.executable, "-m", "media_service", "serve", **on_s3)
            relay = [sys.executable, "-m", "benchmarks.relay", str(ports[7]), endpoint, BUCKET]
            start("relay", *relay, **keys)
            await_port(ports[6])
            await_port(ports[7])
        if tusd := find_program("tusd"):
            where = ["-host", "127.0.0.1", "-port", str(ports[4])]
            start("tusd", tusd, *where, "-upload-dir", str(folder / "scratch"))
        await_healthy(children, [config, bare], folder / "log")
        postmaster = (folder / "postgres/postmaster.pid").read_text().splitlines()[0]
        yield Stack(
            folder=folder,
            settings=settings,
            database_url=url,
            grpc=f"127.0.0.1:{ports[0]}",
            rest=f"http://127.0.0.1:{ports[1]}",
            token=sign(config, secret, "bench", timedelta(days=1)),
            bare_grpc=f"127.0.0.1:{ports[2]}",
            bare_rest=f"http://127.0.0.1:{ports[3]}",
            on_s3=Addresses(f"127.0.0.1:{ports[6]}", f"127.0.0.1:{ports[7]}") if gateway else None,
            tusd=f"http://127.0.0.1:{ports[4]}/files/" if tusd else "",
            pids={
                "PostgreSQL": int(postmaster),
                **{name: child.process.pid for name, child in children.processes.items()},
            },
        )


def new_database(url: str, name: str) -> str:
    """Creates a database in the PostgreSQL of `url`, and returns its URL."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(SQL("create database {}").format(Identifier(name)))
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def envoy(config: Config, file: Path) -> list[str]:
    """The command that runs Envoy on loopback, as in `dev`."""
    file.write_text(render(config, [("127.0.0.1", config.grpc_port)], "127.0.0.1"))
    program = str(Path(sysconfig.get_path("scripts")) / "envoy")
    return [program, "-c", str(file), "--log-level", "warning", "--disable-hot-restart"]


def await_healthy(children: Supervisor, configs: list[Config], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not all(healthy(config) for config in configs):
        ended = any(each.process.poll() is not None for each in children.processes.values())
        if ended or time.monotonic() > deadline:
            raise SystemExit(f"the stack did not start:\n{log.read_text()[-4000:]}")
        time.sleep(0.1)


def await_port(port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise SystemExit(f"no process listens on port {port}")


def find_program(name: str) -> str | None:
    """The path of a program on PATH, in the folder of `go install`, or among the tools of CI."""
    home = Path.home()
    folders = [os.environ.get("GOBIN", ""), home / "go/bin", home / ".cache/media-service/bin"]
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(map(str, folders)))


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()
