"""Filters, orders, pages and totals of media agree with a model, for random media."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from media_service.access.lists import after_sql
from media_service.access.owner import Owner
from media_service.access.policy import Condition, scope
from media_service.access.principal import Principal
from media_service.blobs.model import Blob
from media_service.db.database import Database
from media_service.db.transaction import Connection
from media_service.ids import new_id
from media_service.media import queries
from media_service.media.filter import parse_filter
from media_service.media.model import Attributes, Kind, NewMedia, Total
from media_service.media.paging import SORTABLE, parse_order
from media_service.media.selection import select
from media_service.search.indexing import write_due
from media_service.storage.checksums import Checksums

ANN = Principal("ann")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
COUNT = 40
Row = dict[str, Any]


def known(row: Row, *names: str) -> bool:
    return all(row[name] is not None for name in names)


def within(row: Row, south: float, north: float, *sides: tuple[float, float]) -> bool:
    """Whether its location is in one of the boxes between these longitudes."""
    if row["location"] is None:
        return False
    latitude, longitude = row["location"]
    return south <= latitude <= north and any(west <= longitude <= east for west, east in sides)


FILTERS: dict[str, Callable[[Row], bool]] = {
    "": lambda _: True,
    "kind=IMAGE AND width>=2": lambda r: (
        r["kind"] == "IMAGE" and known(r, "width") and r["width"] >= 2
    ),
    "orientation=PORTRAIT": lambda r: known(r, "width") and r["width"] < r["height"],
    "-orientation=SQUARE": lambda r: not known(r, "width") or r["width"] != r["height"],
    "NOT capture_time:*": lambda r: not known(r, "capture_time"),
    "capture_time>2026-01-02T00:00:00Z": lambda r: (
        known(r, "capture_time") and r["capture_time"] > BEGIN + timedelta(days=1)
    ),
    "camera=x*": lambda r: (r["camera"] or "").startswith("x"),
    "camera:*": lambda r: known(r, "camera"),
    'location:"-10,-20,10,20"': lambda r: within(r, -10, 10, (-20, 20)),
    'location:"-90,170,90,-170"': lambda r: within(r, -90, 90, (170, 180), (-180, -170)),
    "location:*": lambda r: known(r, "location"),
    f"checksums.sha256={b'1'.hex() * 32}": lambda r: r["sha256"] == b"1" * 32,
    f"NOT checksums.sha256={b'1'.hex() * 32} AND rating>1": lambda r: (
        r["sha256"] != b"1" * 32 and r["rating"] > 1
    ),
    "tags:a OR rating>3": lambda r: "a" in r["tags"] or r["rating"] > 3,
    "labels.k:* AND title:*": lambda r: "k" in r["labels"] and r["title"] != "",
    "labels.k!=a": lambda r: "k" in r["labels"] and r["labels"]["k"] != "a",
}
ORDERS = [
    *SORTABLE,
    *(f"{name} desc" for name in SORTABLE),
    "width, title desc, capture_time",
    "capture_time desc, kind, duration_seconds",
]


def random_row(random: Random) -> Row:
    kind = random.choice(list(Kind))
    sized = kind in {Kind.IMAGE, Kind.VIDEO}
    return {
        "media_id": new_id(),
        "create_time": BEGIN + timedelta(hours=random.randrange(20)),
        "update_time": BEGIN + timedelta(hours=random.randrange(20)),
        "capture_time": random.choice([None, BEGIN + timedelta(hours=random.randrange(48))]),
        "ready_time": random.choice([None, BEGIN]),
        "expire_time": random.choice([None, BEGIN, BEGIN + timedelta(hours=1)]),
        "delete_time": None,
        "size_bytes": random.randrange(5),
        "width": random.randrange(4) if sized else None,
        "height": random.randrange(4) if sized else None,
        "duration_seconds": random.choice([0.0, 1.5]) if kind in {Kind.VIDEO, Kind.AUDIO} else None,
        "rating": random.randrange(6),
        "filename": random.choice("abc"),
        "title": random.choice(["", "a", "b"]),
        "kind": kind,
        "content_type": random.choice(["image/png", "video/mp4"]),
        "view_count": random.randrange(3),
        "download_count": random.randrange(3),
        "camera": random.choice([None, "x1", "y"]),
        "location": random.choice(
            [None, (random.uniform(-90, 90), random.uniform(-180, 180)), (5.0, 5.0), (0.0, 175.0)]
        ),
        "tags": random.sample("ab", random.randrange(3)),
        "labels": random.choice([{}, {"k": "a"}, {"k": "b"}, {"j": "a"}]),
        "sha256": random.choice([None, b"1" * 32, b"2" * 32]),
    }


async def build(db: Connection, rows: list[Row]) -> None:
    for row in rows:
        blob = Blob(new_id(), "raw", new_id(), row["size_bytes"], Checksums(0, row["sha256"]))
        attributes = Attributes(
            title=row["title"],
            tags=tuple(row["tags"]),
            labels=row["labels"],
            rating=row["rating"],
            capture_time=row["capture_time"],
            expire_time=row["expire_time"],
        )
        new = NewMedia(
            row["media_id"],
            Owner("user", "ann"),
            row["kind"],
            row["content_type"],
            row["filename"],
            blob,
            attributes=attributes,
        )
        await queries.insert(db, [new])
        info = {name: row[name] for name in ("width", "height", "duration_seconds")}
        private: Row = {"exif": {"Model": row["camera"]} if row["camera"] else {}}
        if row["location"]:
            private["location"] = dict(zip(("latitude", "longitude"), row["location"], strict=True))
        await db.execute(
            "update media set create_time = %s, update_time = %s, ready_time = %s, view_count = %s,"
            " download_count = %s, info = %s, private_info = %s where media_id = %s",
            (
                *(row[name] for name in ("create_time", "update_time", "ready_time")),
                *(row[name] for name in ("view_count", "download_count")),
                Jsonb({name: value for name, value in info.items() if value is not None}),
                Jsonb(private),
                row["media_id"],
            ),
        )


def is_ordered(before: Row, after: Row, order: str) -> bool:
    for part in order.split(", "):
        name, _, direction = part.partition(" ")
        a, b = ((row[name] is not None, row[name]) for row in (before, after))
        if a != b:
            return (a > b) == (direction == "desc")
    return True


@pytest.mark.parametrize("seed", range(2))
async def test_lists_of_media_agree_with_the_model(
    database: Database, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one seed, these are so many media that none are sorted."""
    monkeypatch.setattr(queries, "MOST_SORTED", COUNT if seed else 0)
    random = Random(seed)  # noqa: S311
    rows = [random_row(random) for _ in range(COUNT)]
    by_id = {row["media_id"]: row for row in rows}
    async with database.transaction() as db:
        await build(db, rows)
        await write_due(db)
        for text, wanted in FILTERS.items():
            may, where = await select(db, ANN, text)
            page = await queries.page(db, may, where, parse_order(""), COUNT)
            found = {each.media.media_id for each in page}
            assert found == {row["media_id"] for row in rows if wanted(row)}, text
            assert await queries.count(db, may, where) == Total(len(found)), text
        for order in ORDERS:
            keys = parse_order(order)
            seen: list[str] = []
            after: list[Condition] = []
            while page := await queries.page(db, scope(ANN), [], keys, 7, after):
                seen += [each.media.media_id for each in page]
                after = [after_sql("m", keys, page[-1].key)]
            assert len(seen) == len(set(seen)) == COUNT, order
            ordered = [by_id[media_id] for media_id in seen]
            assert all(is_ordered(a, b, order) for a, b in pairwise(ordered)), order


async def test_the_total_of_many_media_is_estimated(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "SAMPLED_PAGES", 300)
    async with database.transaction() as db:
        await db.execute(
            "insert into media (media_id, owner_type, owner_id, state, kind, content_type,"
            " size_bytes) select gen_random_uuid(), 'user',"
            " case n % 4 when 0 then 'bob' else 'ann' end, 'PENDING', 'IMAGE', '', n"
            " from generate_series(1, 20000) n"
        )
        exact = parse_filter("size_bytes<13333")
        many = parse_filter("size_bytes<13337")
        assert exact
        assert many
        assert await queries.count(db, scope(ANN), [exact]) == Total(9_999)
        for where, wanted in (([many], 10_002), ([], 15_000)):
            total = await queries.count(db, scope(ANN), where)
            assert total.approximate
            assert total.number == pytest.approx(wanted, rel=0.3)


async def test_what_a_filter_by_content_reads_tells_nothing_of_others(database: Database) -> None:
    """It costs ann the same whether bob has the file or not, and nobody else."""

    async def read(db: Connection, content: bytes) -> tuple[int, list[int]]:
        tables = ("blobs", "media", "media_versions", "media_contents", "media_search")
        fetched = ", ".join(
            f"pg_stat_get_xact_tuples_fetched('{name}'::regclass)" for name in tables
        )
        query = f"select array[{fetched}] as fetched"
        counts = []
        for _ in range(2):
            row = await (await db.execute(query.encode())).fetchone()
            assert row
            counts.append(row["fetched"])
            if len(counts) == 1:
                may, where = await select(db, ANN, f"checksums.sha256={content.hex()}")
                page = await queries.page(db, may, where, parse_order(""), COUNT)
        return len(page), [after - before for before, after in zip(*counts, strict=True)]

    random = Random(0)  # noqa: S311
    rows = [random_row(random) | {"sha256": bytes([n]) * 32} for n in range(20)]
    async with database.transaction() as db:
        await build(db, rows)
        await db.execute(
            "update media set owner_id = 'bob' where media_id <> %s", (rows[0]["media_id"],)
        )
        await db.execute("update blobs set sha256 = %s where sha256 > %s", (b"b" * 32, b"\1" * 32))
        await write_due(db)
        await db.execute("set local enable_seqscan = off")
        assert (await read(db, b"\0" * 32))[0] == 1
        nobody, one, many = [await read(db, each * 32) for each in (b"x", b"\1", b"b")]
        assert nobody == one == many
