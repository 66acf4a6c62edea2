"""Searches among a million media of 50 projects: two words ranked, parts of names, facets."""

import random
import statistics
from collections.abc import Sequence
from functools import partial
from typing import Any

import psycopg
from mediaservice.v1 import media_service_pb2, media_service_pb2_grpc

from benchmarks.measure import Bench, say
from benchmarks.own_server import as_user, filled_database, ms, p95, row, server
from benchmarks.report import Outcome, Row
from benchmarks.rows import EVERYWHERE, FIVE, MEDIA, ONE, fill
from benchmarks.transfer import channel
from media_service.search.indexing import WRITE

QUICK_MEDIA = 100_000
# Different searches of each kind, in each round.
SEARCHES = 100
PAGE = 50
BATCH = 5000
MOST_RANKED_MS, MOST_SUBSTRING_MS, MOST_FACETS_MS = 50.0, 80.0, 150.0
CALLERS = (EVERYWHERE, FIVE, ONE)


def fill_and_index(url: str, media: int) -> None:
    """Writes what workers would write, and then the index, which takes less time."""
    fill(url, media)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("set synchronous_commit = off")
        db.execute("set maintenance_work_mem = '256MB'")
        index = first(db, "select pg_get_indexdef('media_search_words'::regclass)")[0]
        db.execute("drop index media_search_words")
        db.execute("insert into media_search_due (media_id) select media_id from media")
        db.execute("analyze media_search_due")
        while db.execute(WRITE.encode(), (BATCH,)).rowcount:
            pass
        db.execute(index.encode())
        db.execute("vacuum analyze media_search, media_search_due")


def first(db: psycopg.Connection, query: str) -> Sequence[str]:
    return [str(row[0]) for row in db.execute(query.encode()).fetchall()]


def queries_of(url: str) -> tuple[list[str], list[str]]:
    """Pairs of words of titles, and parts of file names and of words, of random media."""
    dice = random.Random(7)
    with psycopg.connect(url, autocommit=True) as db:
        titles = first(
            db,
            "select title from media tablesample system (5) repeatable (7)"
            " where title like '% %' limit 5000",
        )
        names = first(
            db, "select filename from media tablesample system (5) repeatable (7) limit 5000"
        )
    pairs = [" ".join(dice.sample(dice.choice(titles).split(), 2)) for _ in range(SEARCHES)]
    parts = [dice.choice(names)[:6] for _ in range(SEARCHES // 2)]
    words = [max(dice.choice(titles).split(), key=len) for _ in range(SEARCHES // 2)]
    return pairs, [*parts, *(word[1:7] for word in words if len(word) > 3)]


async def search(bench: Bench) -> Outcome:
    media = QUICK_MEDIA if bench.seconds < 10 else MEDIA
    say(f"  {media} media ...")
    url = await filled_database(bench, "search", partial(fill_and_index, media=media))
    pairs, parts = queries_of(url)
    rows: list[Row] = []
    with server(bench, url, "search") as address:
        async with channel(address) as opened:
            stub: Any = media_service_pb2_grpc.MediaServiceStub(opened)
            for caller in CALLERS:
                find = as_user(bench, stub.SearchMedia, caller)
                count = as_user(bench, stub.CountFacets, caller)
                words = [
                    media_service_pb2.SearchMediaRequest(query=each, page_size=PAGE)
                    for each in pairs
                ]
                substrings = [
                    media_service_pb2.SearchMediaRequest(query=each, page_size=PAGE)
                    for each in parts
                ]
                facets = [media_service_pb2.CountFacetsRequest(query=each) for each in pairs]
                for name, call, asked, most in (
                    ("two words", find, words, MOST_RANKED_MS),
                    ("parts of names", find, substrings, MOST_SUBSTRING_MS),
                    ("facets of two words", count, facets, MOST_FACETS_MS),
                    (
                        "facets of all",
                        count,
                        [media_service_pb2.CountFacetsRequest()] * 20,
                        MOST_FACETS_MS,
                    ),
                ):
                    await took_by(call, asked[:20])
                    took = [t for _ in range(bench.rounds) for t in await took_by(call, asked)]
                    say(f"  {caller}, {name}: median {statistics.median(took):.1f} ms")
                    rows.append(row(f"{name}, member {caller}: p95", p95(took), most))
    note = f"{media} media in 50 projects, one search after the other, pages of {PAGE}."
    return Outcome(rows, [], [note])


async def took_by(call: Any, asked: Sequence[Any]) -> list[float]:
    return [(await ms(call(request)))[1] for request in asked]
