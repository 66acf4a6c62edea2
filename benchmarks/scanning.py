"""Uploads of 1 MiB until they are READY, with virus scans and without, and clamd's own speed.

clamd knows one signature. With the official ones, of which there are millions, its own speed is
lower; the cost of the service does not depend on them.
"""

import asyncio
import os
import secrets
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import psycopg
from crc32c import crc32c as crc32c_of
from mediaservice.v1 import checksums_pb2, upload_pb2, upload_service_pb2

from benchmarks.images import photo
from benchmarks.measure import MIB, Bench, take_turns
from benchmarks.report import Outcome, Row
from benchmarks.small import upload
from benchmarks.stack import await_port, find_program, free_ports, new_database
from benchmarks.transfer import Client, channel, client, run
from media_service.cli.supervisor import Supervisor
from media_service.db.migrate import migrate

CALLERS = 16
FILES = 24
READY_SECONDS = 120.0
# The test file that every scanner knows.
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-" + rb"STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
CONFIG = """
LocalSocket {folder}/clamd.sock
DatabaseDirectory {folder}/signatures
TemporaryDirectory {folder}
Foreground yes
AlertExceedsMax yes
"""
WITHOUT, OWN = "1 MiB until READY, without scans", "clamdscan --stream, the same files"
MODES = {"off": WITHOUT, "required": "1 MiB until READY, scans required"}


async def scanning(bench: Bench) -> Outcome:
    clamd, clamdscan = program("clamd"), program("clamdscan")
    if clamd is None or clamdscan is None:
        return Outcome([], notes=["Scans: clamd and clamdscan are not installed."])
    folder = bench.stack.folder
    config = configure(folder / "clamd")
    image = photo(folder / "photo.jpg", 1200, 800).read_bytes()
    contenders: dict[str, Callable[[], Awaitable[float]]] = {}
    async with AsyncExitStack() as stack:
        children = stack.enter_context(Supervisor())
        log = stack.enter_context((folder / "log").open("ab"))
        children.start("clamd", (clamd, f"--config-file={config}"), os.environ, log)
        to = await stack.enter_async_context(client(bench.stack))
        for mode, name in MODES.items():
            (port,) = free_ports(1)
            url = new_database(bench.stack.database_url, f"scan_{mode}")
            await migrate(url)
            settings = {
                **bench.stack.settings,
                "MEDIA_DATABASE_URL": url,
                "MEDIA_DATA_DIR": str(folder / f"data-{mode}"),
                "MEDIA_GRPC_PORT": str(port),
                "MEDIA_SCAN": mode,
                "MEDIA_SCAN_ADDRESS": f"clamd://{folder}/clamd/clamd.sock",
            }
            for role in ("serve", "work"):
                command = (sys.executable, "-m", "media_service", role)
                children.start(f"{mode} {role}", command, {**os.environ, **settings}, log)
            await_port(port)
            opened = await stack.enter_async_context(channel(f"127.0.0.1:{port}"))
            contenders[name] = partial(until_ready, Client(to.stack, opened, to.bare), url, image)
        contenders[OWN] = partial(own_speed, clamdscan, config, folder / "files", image)
        found = await take_turns(bench, contenders, unit=("/min", 1 / 60), cpu_unit=("ms", 1e3))
    limit, measured, own = found[WITHOUT], found[MODES["required"]], found[OWN]
    result = Row(
        figure="1 MiB images until READY, scans required",
        unit=measured.unit,
        target=None,
        measured=measured.median,
        limit=limit.median,
        limit_name=limit.name,
    )
    note = f"clamdscan --stream scans {own.median:.0f} of the same files a minute."
    return Outcome([result], list(found.values()), [note])


def program(name: str) -> str | None:
    return find_program(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def configure(folder: Path) -> Path:
    (folder / "signatures").mkdir(parents=True)
    (folder / "signatures/local.ndb").write_text(f"Eicar-Test-Signature:0:*:{EICAR.hex()}\n")
    config = folder / "clamd.conf"
    config.write_text(CONFIG.format(folder=folder))
    return config


def unlike_others(image: bytes) -> bytes:
    """A file of 1 MiB that is new to clamd, which remembers what it found clean."""
    return image.ljust(MIB - 16, b"\0") + secrets.token_bytes(16)


async def until_ready(to: Client, url: str, image: bytes) -> float:
    """Uploads files, and waits until a worker has inspected them all."""
    places = asyncio.Semaphore(CALLERS)

    async def one() -> None:
        async with places:
            await upload(to, message(unlike_others(image)))

    with psycopg.connect(url, autocommit=True) as db:
        wanted = ready(db) + FILES
        await asyncio.gather(*(one() for _ in range(FILES)))
        deadline = time.perf_counter() + READY_SECONDS
        while ready(db) < wanted:
            assert time.perf_counter() < deadline, "the files are not READY"
            await asyncio.sleep(0.02)
    return FILES


def message(data: bytes) -> upload_service_pb2.WriteUploadRequest:
    crc = crc32c_of(data)
    return upload_service_pb2.WriteUploadRequest(
        spec=upload_pb2.UploadSpec(filename="bench.jpg", size_bytes=len(data)),
        data=data,
        crc32c=crc,
        finish=True,
        checksums=checksums_pb2.Checksums(crc32c=crc),
    )


def ready(db: "psycopg.Connection[tuple[int]]") -> int:
    row = db.execute("select count(*) from media where state = 'READY'").fetchone()
    return row[0] if row else 0


async def own_speed(clamdscan: str, config: Path, folder: Path, image: bytes) -> float:
    """Scans as many files by clamd's own client, from memory as far as the system keeps them."""
    folder.mkdir(exist_ok=True)
    for number in range(FILES):
        (folder / f"{number}.jpg").write_bytes(unlike_others(image))
    command = [clamdscan, "--stream", "--no-summary", f"--config-file={config}", str(folder)]
    await run(command)
    return FILES
