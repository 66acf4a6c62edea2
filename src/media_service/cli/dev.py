"""`media-service dev`: the whole service on this machine, with one command."""

import asyncio
import contextlib
import errno
import getpass
import ipaddress
import os
import secrets
import shutil
import signal
import socket
import ssl
import sys
import sysconfig
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import click

from media_service.access.link_signer import key_from
from media_service.cli.data_dir import data_dir_lock
from media_service.cli.service_process import Misconfigured, check_sandbox, settings
from media_service.cli.supervisor import Backoff, ProcessEnded, Supervisor
from media_service.cli.token_signing import sign
from media_service.codecs.sandbox.protections import kernel, lacking
from media_service.config import DEGRADED, Config
from media_service.db import system_user
from media_service.db.embedded_postgres import EmbeddedPostgres, PostgresFailed
from media_service.db.migrate import migrate
from media_service.envoy_config import render
from media_service.errors import MediaError

READY_SECONDS = 60.0
# The longest pause before PostgreSQL starts again: it is given up after four starts in vain.
POSTGRES_PAUSE_SECONDS = 8.0
TOKEN_LIFETIME = timedelta(hours=24)
# The worker verifies no tokens, and signs no links unless there are foreign workers.
SERVER_SECRETS = {"MEDIA_JWT_SECRET", "MEDIA_LINK_KEYS", "MEDIA_TOKEN"}
# Pages that a developer serves.
LOCAL_ORIGINS = tuple(
    f"{scheme}://{host}:*"
    for scheme in ("http", "https")
    for host in ("localhost", "127.0.0.1", "[::1]")
)
# Envoy has no secrets but the key of its certificate, which its configuration names.
ENVOY_VARIABLES = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")


class Stopped(Exception):
    """The user stopped it."""


@click.command()
def dev() -> None:
    """Runs everything on this machine: PostgreSQL, the gRPC server, a worker, and Envoy for REST.

    Prints the addresses, a token, and commands to try. All data is in MEDIA_DATA_DIR (.data).
    Ctrl-C stops everything; the next start continues with the same data.

    \b
    A second instance needs ports and a directory of its own:
      MEDIA_GRPC_PORT=50061 MEDIA_REST_PORT=8090 MEDIA_DATA_DIR=.data2 media-service dev

    Pages of localhost may call it (CORS), unless MEDIA_CORS_ORIGINS names others.

    It listens on loopback only. To serve other machines, run `serve`, `work` and Envoy
    (`envoy-config`) separately; docker-compose.yml shows how.
    """
    config = settings()
    if not ipaddress.ip_address(config.host).is_loopback:
        raise Misconfigured(
            f"MEDIA_HOST={config.host}: `dev` listens on loopback only (127.0.0.1 or ::1)"
        )
    if os.environ.get("MEDIA_SANDBOX"):
        check_sandbox(config)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    make_private(config.data_dir)
    with only_one(config.data_dir):
        require_free(config.host, config.grpc_port, "MEDIA_GRPC_PORT")
        require_free(config.host, config.rest_port, "MEDIA_REST_PORT")
        with contextlib.suppress(Stopped):
            run(config, stop)
        say("Stopped.")


def run(config: Config, stop: threading.Event) -> None:
    """Starts all processes, and waits until the user stops them or one of them ends."""
    key = config.jwt_secret
    if not key and not config.jwt_jwks and not config.jwt_issuers:
        key = own_key(config.data_dir, "jwt-secret")
    with database(config, stop) as (url, postgres):
        upgrade(url)
        check(stop)
        environ = {
            **os.environ,
            "MEDIA_DATABASE_URL": url,
            "MEDIA_JWT_SECRET": key,
            # Envoy stops first, and there is no other server.
            "MEDIA_DRAIN_SECONDS": os.environ.get("MEDIA_DRAIN_SECONDS") or "0",
            "MEDIA_SANDBOX": os.environ.get("MEDIA_SANDBOX") or DEGRADED,
        }
        if not key and not config.link_keys:
            environ["MEDIA_LINK_KEYS"] = own_key(config.data_dir, "link-key")
        if not config.webhook_keys:
            environ["MEDIA_WEBHOOK_KEYS"] = own_key(config.data_dir, "webhook-key")
        envoy_log = config.data_dir / "envoy.log"
        with Supervisor() as processes, envoy_log.open("wb") as output:
            say("Server, worker and Envoy ...")
            start(processes, config, environ)
            yaml = config.data_dir / "envoy.yaml"
            served = replace(config, cors_origins=config.cors_origins or LOCAL_ORIGINS)
            yaml.write_text(render(served, [(config.host, config.grpc_port)], config.host))
            program = str(Path(sysconfig.get_path("scripts")) / "envoy")
            envoy = [program, "-c", str(yaml), "--log-level", "warning", "--disable-hot-restart"]
            processes.start("Envoy", envoy, only(os.environ, ENVOY_VARIABLES), output)
            await_ready(config, processes, postgres, stop)
            for part in lacking():
                say(f"\nWARNING: do not open files of strangers. {kernel()} lacks {part}.")
            click.echo(welcome(config, key))
            while not stop.wait(1):
                tend(config, processes, postgres, stop)
            say("Stopping ...")


def upgrade(url: str) -> None:
    try:
        asyncio.run(migrate(url))
    except (MediaError, RuntimeError) as error:
        raise click.ClickException(str(error)) from None


def start(processes: Supervisor, config: Config, environ: Mapping[str, str]) -> None:
    if not config.storage_raw_url:
        make_private(config.data_dir / "raw")
    if not config.storage_public_url:
        make_private(config.data_dir / "public")
    program = [sys.executable, "-m", "media_service"]
    worker_environ = {k: v for k, v in environ.items() if k not in SERVER_SECRETS}
    if config.foreign_operations:
        worker_environ["MEDIA_LINK_KEYS"] = environ.get("MEDIA_LINK_KEYS") or key_from(
            environ["MEDIA_JWT_SECRET"]
        )
    processes.start("worker", [*program, "work"], worker_environ)
    processes.start("server", [*program, "serve"], environ)


def only(environ: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    return {name: environ[name] for name in names if name in environ}


def say(line: str) -> None:
    click.echo(line, err=True)


def check(stop: threading.Event) -> None:
    if stop.is_set():
        raise Stopped


def make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(f"MEDIA_DATA_DIR: {folder}: {error.strerror}") from None


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Holds the lock of the directory."""
    with data_dir_lock(folder) as mine:
        if not mine:
            raise Misconfigured(
                f"{folder} is in use by another `media-service dev` or `reconcile`;"
                " set MEDIA_DATA_DIR to run a second one"
            )
        yield


def require_free(host: str, port: int, variable: str) -> None:
    """Fails early: Envoy and gRPC would share a port that is in use instead of failing."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = "is in use" if taken else f"cannot be used ({error.strerror})"
            raise Misconfigured(f"port {port} of {host} {why}; set {variable}") from None


def own_key(folder: Path, name: str) -> str:
    """Returns the key in the file `name`, which the first start creates. `media-service token`
    reads the key of access tokens there, too."""
    file = folder / name
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as key:
            key.write(secrets.token_hex(32) + "\n")
    return file.read_text().strip()


@contextlib.contextmanager
def database(
    config: Config, stop: threading.Event
) -> Iterator[tuple[str, "WatchedPostgres | None"]]:
    """Yields the URL of the database, and the PostgreSQL that runs for the context, if one does."""
    if config.database_url:
        say("PostgreSQL: MEDIA_DATABASE_URL")
        yield config.database_url, None
        return
    say("PostgreSQL ...")
    if os.geteuid() == 0:
        say(
            f"  As root, PostgreSQL runs as the user `{system_user.NAME}`, and all users may enter"
            f" every directory above {config.data_dir}."
        )
    try:
        postgres = EmbeddedPostgres(config.data_dir / "postgres")
    except PostgresFailed as error:
        check(stop)  # Ctrl-C reaches initdb, too
        raise click.ClickException(f"PostgreSQL did not start: {error}") from None
    with contextlib.closing(WatchedPostgres(postgres)) as watched:
        check(stop)
        yield postgres.url, watched


class WatchedPostgres:
    """The PostgreSQL of the data directory, which starts again if it ends."""

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        self._postgres = postgres
        self._backoff = Backoff()

    def close(self) -> None:
        self._postgres.stop()

    def tend(self, stop: threading.Event) -> None:
        """Starts it again if it has ended. Raises ClickException if it ends again and again."""
        while not self._postgres.running:
            pause = self._backoff.next()
            if pause > POSTGRES_PAUSE_SECONDS:
                raise click.ClickException(
                    f"PostgreSQL ends again and again; see {self._postgres.log}."
                    " Stopping all processes."
                )
            say(f"PostgreSQL has ended. It restarts in {pause:.0f} s.")
            if stop.wait(pause):
                raise Stopped
            try:
                self._postgres.start()
            except PostgresFailed as error:
                say(f"PostgreSQL did not start: {error}")
            self._backoff.begun()


def await_ready(
    config: Config,
    processes: Supervisor,
    postgres: WatchedPostgres | None,
    stop: threading.Event,
) -> None:
    """Waits until REST responds, which means that gRPC reports SERVING to Envoy."""
    deadline = time.monotonic() + READY_SECONDS
    while not healthy(config):
        tend(config, processes, postgres, stop)
        if stop.wait(0.1):
            raise Stopped
        if time.monotonic() > deadline:
            raise click.ClickException(
                f"not ready after {READY_SECONDS:.0f} s; see {config.data_dir / 'envoy.log'}"
            )


def healthy(config: Config) -> bool:
    # On loopback, only whether it responds matters. Loading authorities for each probe takes longer
    # than the probe.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(f"{base_url(config)}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def tend(
    config: Config,
    processes: Supervisor,
    postgres: WatchedPostgres | None,
    stop: threading.Event,
) -> None:
    """Starts again what was killed. Raises ClickException if that does not help."""
    if postgres:
        postgres.tend(stop)
    try:
        processes.tend(say)
    except ProcessEnded as ended:
        if ended.name == "Envoy":
            say((config.data_dir / "envoy.log").read_text()[-2000:])
        raise click.ClickException(f"{ended}. Stopping all processes.") from None


def base_url(config: Config) -> str:
    return f"{'https' if config.tls_cert else 'http'}://{authority(config.host, config.rest_port)}"


def authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def welcome(config: Config, key: str) -> str:
    """The addresses, and commands to try."""
    rest, grpc = base_url(config), authority(config.host, config.grpc_port)
    curl, grpcurl = "curl", "grpcurl -plaintext"
    if config.tls_cert:
        curl, grpcurl = f"curl --cacert {config.tls_cert}", f"grpcurl -cacert {config.tls_cert}"
    bearer = '"Authorization: Bearer $TOKEN"'
    command = shutil.which("media-service") or f"{sysconfig.get_path('scripts')}/media-service"
    if key:
        user = getpass.getuser()
        token = f"TOKEN={sign(config, key, user, TOKEN_LIFETIME)}"
        about = f"A token of user {user}, valid for 24 hours:"
    else:
        token, about = "TOKEN=...", "The configured issuers issue tokens:"
    return f"""
Ready.  REST {rest}   gRPC {grpc}   data {config.data_dir}   (Ctrl-C stops)

{about}

  {token}

Upload a file, download it (ID is the `mediaId` of the first response), list your media:

  {curl} -H {bearer} -F file=@photo.jpg {rest}/v1/media:upload
  {curl} -H {bearer} -o copy.jpg {rest}/v1/media/ID/content
  {grpcurl} -H {bearer} {grpc} mediaservice.v1.MediaService/ListMedia

On this machine, also without a token:

  {command} upload photo.jpg
"""
