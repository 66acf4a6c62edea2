"""What reading renditions through Valkey saves: GetMedia and pages of ListMedia of media with few
and many renditions, one call after the other and 16 at once, beside the same without a cache."""

import asyncio
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
from mediaservice.v1 import media_service_pb2, media_service_pb2_grpc

from benchmarks.measure import Bench, of_family, say
from benchmarks.own_server import as_user, filled_database, ms, server
from benchmarks.report import Outcome, Row
from benchmarks.stack import await_port, find_program, free_ports
from benchmarks.transfer import channel

# Renditions of each media of an owner.
COUNTS = (1, 10, 100)
MEDIA, PAGE = 50, 50
# Of other media: with few rows, PostgreSQL would read whole tables.
OTHER_BLOBS = 300_000
ROUNDS, QUICK_ROUNDS = 300, 20
AT_ONCE = 16
ROWS = """
with added as (
    select gen_random_uuid() as media_id, gen_random_uuid() as blob_id, n
    from generate_series(1, {media}) n
), files as (
    insert into blobs (blob_id, store, key, size_bytes, crc32c)
    select blob_id, 'raw', 'blobs/' || blob_id, 1000, 0 from added returning blob_id
)
insert into media (media_id, org_id, owner_type, owner_id, state, kind, content_type, size_bytes,
                   filename)
select media_id, '', 'user', 'owner-{count}', 'READY', 'IMAGE', 'image/jpeg', 1000, 'a.jpg'
from added join files using (blob_id);
insert into blobs (blob_id, store, key, size_bytes, crc32c)
select m.media_id, 'raw', 'originals/' || m.media_id, 1000, 0
from media m where m.owner_id = 'owner-{count}';
insert into media_versions (media_id, version, blob_id, content_type)
select media_id, 1, media_id, 'image/jpeg' from media m where m.owner_id = 'owner-{count}';
create temporary table files_{count} as
select m.media_id, gen_random_uuid() as blob_id, 'size-' || n as name
from media m, generate_series(1, {count}) n where m.owner_id = 'owner-{count}';
insert into blobs (blob_id, store, key, size_bytes, crc32c, reference_count)
select blob_id, 'raw', 'renditions/' || blob_id, 1000, 0, 1 from files_{count};
insert into renditions (media_id, name, blob_id, content_type, version, width, height)
select media_id, name, blob_id, 'image/webp', 1, 320, 240 from files_{count};
"""
OTHERS = """
insert into blobs (blob_id, store, key, size_bytes, crc32c)
select id, 'raw', 'other/' || id, 1000, 0
from (select gen_random_uuid() as id from generate_series(1, %s) n) other
"""


def fill(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        for count in COUNTS:
            for statement in ROWS.format(media=MEDIA, count=count).split(";\n"):
                if statement.strip():
                    db.execute(statement.encode())
        db.execute(OTHERS, (OTHER_BLOBS,))
        db.execute("vacuum analyze")


@contextmanager
def valkey() -> Iterator[str]:
    program = find_program("valkey-server") or find_program("redis-server")
    if program is None:
        raise SystemExit("valkey-server or redis-server is not installed")
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
        try:
            await_port(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait()


async def cache(bench: Bench) -> Outcome:
    rounds = QUICK_ROUNDS if bench.seconds < 10 else ROUNDS
    url = await filled_database(bench, "cache", fill)
    rows: list[Row] = []
    notes: list[str] = []
    with (
        valkey() as cache_url,
        server(bench, url, "cache") as without,
        server(bench, url, "cache", MEDIA_CACHE_REDIS=cache_url) as through,
    ):
        async with channel(without) as plain, channel(through) as cached:
            for count in COUNTS:
                calls = [calls_of(bench, opened, f"owner-{count}") for opened in (plain, cached)]
                for name in ("GetMedia", "ListMedia"):
                    mode = [partial(each[name][0], await each[name][1]()) for each in calls]
                    figure = f"{name}, {count} renditions each"
                    more, spent = await compared(bench, figure, mode, rounds)
                    rows += more
                    notes.append(spent)
    notes.append(
        f"An owner with {MEDIA} media for each number of renditions, pages of {PAGE}. A read"
        " through the cache asks PostgreSQL for the row and the permission, and Valkey for the"
        " renditions."
    )
    return Outcome(rows, [], notes)


def calls_of(bench: Bench, opened: Any, user: str) -> dict[str, Any]:
    """For each method: the call, and what makes its request."""
    stub: Any = media_service_pb2_grpc.MediaServiceStub(opened)
    get, list_ = (as_user(bench, method, user) for method in (stub.GetMedia, stub.ListMedia))

    async def page() -> Any:
        return media_service_pb2.ListMediaRequest(page_size=PAGE)

    async def one() -> Any:
        answer = await list_(await page())
        return media_service_pb2.GetMediaRequest(media_id=answer.media[0].media_id)

    return {"GetMedia": (get, one), "ListMedia": (list_, page)}


async def compared(
    bench: Bench, name: str, modes: Sequence[Callable[[], Awaitable[Any]]], rounds: int
) -> tuple[list[Row], str]:
    """Medians of both in turn, how many calls both answer in a second, and what these cost
    PostgreSQL."""
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for call, each in zip(modes, took, strict=True):
            each.append((await ms(call()))[1])
    rates, spent = [], []
    postgres = bench.stack.pids["PostgreSQL"]
    for call in modes:
        before, start = of_family(postgres), time.perf_counter()
        await asyncio.gather(*(repeated(call, rounds // AT_ONCE * 2) for _ in range(AT_ONCE)))
        calls = rounds // AT_ONCE * 2 * AT_ONCE
        rates.append(calls / (time.perf_counter() - start))
        spent.append((of_family(postgres) - before) / calls * 1e3)
    plain, cached = map(statistics.median, took)
    say(f"  {name}: {plain:.2f} ms, {cached:.2f} ms through the cache")
    rows = [
        info(f"{name}: median", "ms", cached, plain),
        info(f"{name}, {AT_ONCE} at once", "/s", rates[1], rates[0]),
    ]
    return rows, (
        f"{name}: {spent[0]:.2f} ms of PostgreSQL's CPU time a call, {spent[1]:.2f} ms through the"
        " cache."
    )


def info(figure: str, unit: str, cached: float, plain: float) -> Row:
    return Row(
        figure=figure,
        unit=unit,
        target=None,
        measured=cached,
        limit=plain,
        limit_name="without the cache",
    )


async def repeated(call: Callable[[], Awaitable[Any]], times: int) -> None:
    for _ in range(times):
        await call()
