"""A server on a database of its own, and how long its calls take."""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from benchmarks.measure import Bench
from benchmarks.report import Row
from benchmarks.stack import await_port, free_ports, new_database
from media_service.cli.token_signing import sign
from media_service.config import load
from media_service.db.migrate import migrate


async def filled_database(bench: Bench, name: str, fill: Callable[[str], None]) -> str:
    """A new database with the rows that `fill` adds, and the marker of an empty store. Returns its
    URL."""
    url = new_database(bench.stack.database_url, name)
    await migrate(url)
    with server(bench, url, name):
        pass  # marks the new store as that of the database, which is about to name blobs
    await asyncio.to_thread(fill, url)
    return url


@dataclass(frozen=True)
class Server:
    address: str
    pid: int


@contextmanager
def server(bench: Bench, url: str, name: str, **settings: str) -> Iterator[str]:
    """A server on a database and stores of its own. Yields its address."""
    with serving(bench, url, name, **settings) as started:
        yield started.address


@contextmanager
def serving(
    bench: Bench, url: str, name: str, module: str = "media_service", **settings: str
) -> Iterator[Server]:
    """The same, run by another module."""
    (port,) = free_ports(1)
    own = {
        "MEDIA_GRPC_PORT": str(port),
        "MEDIA_DATABASE_URL": url,
        "MEDIA_DATA_DIR": str(bench.stack.folder / f"data-of-{name}"),
        "MEDIA_RATE_CALLER": "off",
        **settings,
    }
    with bench.stack.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, "serve"],
            env={**os.environ, **bench.stack.settings, **own},
            stdout=log,
            stderr=log,
        )
        try:
            await_port(port)
            yield Server(f"127.0.0.1:{port}", process.pid)
        finally:
            process.terminate()
            process.wait()


async def ms(call: Awaitable[Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    answer = await call
    return answer, (time.perf_counter() - start) * 1e3


def p95(took: list[float]) -> float:
    return statistics.quantiles(took, n=20)[18]


async def pages(list_media: Callable[[Any], Awaitable[Any]], first: Any, most: int) -> list[float]:
    """Milliseconds of each page of a list, from the one that is asked for."""
    took = []
    request = type(first)()
    request.CopyFrom(first)
    for _ in range(most):
        answer, needed = await ms(list_media(request))
        took.append(needed)
        request.page_token = answer.next_page_token
        if not request.page_token:
            break
    return took


def as_user(bench: Bench, method: Any, user: str) -> Callable[[Any], Awaitable[Any]]:
    secret = bench.stack.settings["MEDIA_JWT_SECRET"]
    token = sign(load(dict(bench.stack.settings)), secret, user, timedelta(days=1))
    metadata = (("authorization", f"Bearer {token}"),)
    return lambda request: method(request, metadata=metadata)


def row(figure: str, measured: float, limit: float, target: float = 1.0) -> Row:
    return Row(
        figure=figure,
        unit="ms",
        target=target,
        at_most=True,
        measured=measured,
        limit=limit,
        limit_name="owner" if target > 1 else "as asked for",
    )
