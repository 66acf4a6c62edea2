"""ClamAV: `clamd://host:3310`, or `clamd:///run/clamav/clamd.ctl` for a Unix socket.

Each scan has its own connection, on which the content is sent in chunks (INSTREAM). clamd answers
early if the content exceeds `StreamMaxLength`. Beyond its other limits it says "OK", unless it is
set up with `AlertExceedsMax yes`, which `probe` checks.
"""

import asyncio
import io
import secrets
import socket
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from media_service.errors import Reason, Unavailable
from media_service.media.model import ScanState
from media_service.scanning.engine import Finding, UnsafeEngine

SCHEME = "clamd"
PORT = 3310

CONNECT_SECONDS = 5.0
COMMAND_SECONDS = 10.0
# For one chunk. clamd only writes it to a file.
SEND_SECONDS = 30.0
# After the last chunk. clamd itself ends a scan after two minutes (`MaxScanTime`), but the scan may
# wait for a thread.
RESULT_SECONDS = 300.0
MAX_ANSWER = 4096
# The scans of a process at the same time. By default, clamd has ten threads (`MaxThreads`).
MAX_SCANS = 8
# clamd scans no larger files, whatever its settings are.
MAX_BYTES = (2 << 30) - 1

STREAM_TOO_LONG = "INSTREAM size limit exceeded."
LIMIT_EXCEEDED = "Heuristics.Limits.Exceeded"
# `MaxRecursion` is at most 100.
PROBE_DEPTH = 110


def open_engine(url: str) -> "Clamd":
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port or PORT
    except ValueError:
        host, port = None, 0
    plain = not (parts.query or parts.fragment or "@" in parts.netloc)
    if plain and host and parts.path in {"", "/"}:
        name = host  # which cannot change any more
        return Clamd(url, lambda: connect_to_host(name, port))
    if plain and not parts.netloc and len(parts.path) > 1:
        return Clamd(url, lambda: connect(socket.AF_UNIX, parts.path))
    raise ValueError("a URL such as clamd://127.0.0.1:3310 or clamd:///run/clamav/clamd.ctl")


class Clamd:
    """`open_socket` connects to the daemon. `address`: for messages."""

    def __init__(self, address: str, open_socket: Callable[[], Awaitable[socket.socket]]) -> None:
        self._address = address
        self._open_socket = open_socket
        self._places = asyncio.Semaphore(MAX_SCANS)

    async def scan(self, content: AsyncIterator[bytes]) -> Finding:
        async with self._places, self._connection() as connection:
            answer = asyncio.create_task(receive_answer(connection))
            try:
                complete = await send_content(connection, content, answer)
                return finding_of(await result(answer), complete=complete)
            except TooLong:
                return Finding(ScanState.TOO_LARGE)
            finally:
                answer.cancel()
                await asyncio.gather(answer, return_exceptions=True)

    async def version(self) -> str:
        # "ClamAV 1.4.3/27500/Mon Nov 30 09:00:00 2026", or less without the official signatures
        answer = await self._command("VERSION")
        return "/".join(answer.split("/")[:2])

    async def probe(self) -> None:
        await self._command("PING")

        async def content() -> AsyncGenerator[bytes, None]:
            yield nested_archives(PROBE_DEPTH)

        if (await self.scan(content())).state is not ScanState.TOO_LARGE:
            raise UnsafeEngine(
                "clamd reports files as clean that exceed its limits and that it has not scanned."
                " Set `AlertExceedsMax yes` in clamd.conf, and restart clamd."
            )

    async def _command(self, name: str) -> str:
        try:
            async with self._connection() as connection, asyncio.timeout(COMMAND_SECONDS):
                await send(connection, f"z{name}\0".encode())
                return await receive_answer(connection)
        except (OSError, TimeoutError) as error:
            raise self._unavailable(error) from None

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[socket.socket]:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                connection = await self._open_socket()
        except (OSError, TimeoutError) as error:
            raise self._unavailable(error) from None
        with connection:
            yield connection

    def _unavailable(self, error: Exception) -> Unavailable:
        return Unavailable(
            Reason.SCAN_UNAVAILABLE,
            f"The virus scanner at {self._address} does not answer:"
            f" {error or type(error).__name__}.",
        )


class TooLong(Exception):
    """The content is larger than any that clamd scans."""


async def send_content(
    connection: socket.socket, content: AsyncIterator[bytes], answer: "asyncio.Task[str]"
) -> bool:
    """Sends the content, until its end or until clamd answers. Returns whether clamd has all of it.
    Raises TooLong."""
    sent = 0
    if not await accepted(connection, b"zINSTREAM\0"):
        return False
    async for piece in content:
        sent += len(piece)
        if sent > MAX_BYTES:
            raise TooLong
        if answer.done():
            return False
        if piece and not (  # an empty chunk would end the stream
            await accepted(connection, len(piece).to_bytes(4, "big"))
            and await accepted(connection, piece)
        ):
            return False
    return await accepted(connection, bytes(4))


async def accepted(connection: socket.socket, data: bytes) -> bool:
    """Sends to clamd. Returns False if it has closed the connection; its answer says why."""
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await send(connection, data)
    except TimeoutError:
        raise failed(f"it took no bytes in {SEND_SECONDS:g} seconds") from None
    except OSError:
        return False
    return True


async def result(answer: "asyncio.Task[str]") -> str:
    try:
        async with asyncio.timeout(RESULT_SECONDS):
            return await asyncio.shield(answer)
    except TimeoutError:
        raise failed(f"it sent no result in {RESULT_SECONDS:g} seconds") from None
    except OSError as error:
        raise failed(f"the connection ended without a result ({error})") from None


async def send(connection: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(connection, data)


async def receive_answer(connection: socket.socket) -> str:
    """Reads an answer of clamd, which ends with a NUL. Raises OSError."""
    loop, answer = asyncio.get_running_loop(), b""
    while not answer.endswith(b"\0"):
        received = await loop.sock_recv(connection, MAX_ANSWER)
        if not received or len(answer) > MAX_ANSWER:
            raise ConnectionError("clamd closed the connection")
        answer += received
    return answer.rstrip(b"\0").decode(errors="replace")


async def connect_to_host(host: str, port: int) -> socket.socket:
    """Connects to the first address of the host that accepts. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for family, _, _, _, address in found[:-1]:
        try:
            return await connect(family, address)
        except OSError:
            continue
    return await connect(found[-1][0], found[-1][4])


async def connect(family: int, address: object) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        if family != socket.AF_UNIX:  # small chunks follow their lengths at once
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(connection, address)  # type: ignore[arg-type]
    except BaseException:
        connection.close()
        raise
    return connection


def failed(why: str) -> Unavailable:
    return Unavailable(Reason.SCAN_FAILED, f"The virus scanner did not scan the file: {why}.")


def finding_of(answer: str, *, complete: bool) -> Finding:
    """Parses the answer to INSTREAM. `complete`: clamd has received all of the content."""
    if answer.startswith(STREAM_TOO_LONG):
        return Finding(ScanState.TOO_LARGE)
    name, _, verdict = answer.removeprefix("stream: ").rpartition(" ")
    if verdict == "FOUND" and name.startswith(LIMIT_EXCEEDED):
        return Finding(ScanState.TOO_LARGE)
    if verdict == "FOUND" and name:
        return Finding(ScanState.INFECTED, name)
    if answer == "stream: OK" and complete:
        return Finding(ScanState.CLEAN)
    raise failed(f"it answered {answer[:200]!r}")


def nested_archives(depth: int) -> bytes:
    """ZIP archives in each other, a few KiB. They are new each time, because clamd remembers what
    it found clean."""
    data = secrets.token_bytes(16)
    for _ in range(depth):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
            opened.writestr("a", data)
        data = archive.getvalue()
    return data
