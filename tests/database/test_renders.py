"""Cached renders are kept as long as clients request them, and no longer."""

import asyncio

import pytest

from media_service.codecs.pipeline.validation import parsed_pipeline
from media_service.db.database import Database
from media_service.renders.cache import (
    BATCH,
    LARGE_BYTES,
    MAX_BYTES,
    MAX_RENDERS,
    RenderCache,
    remove_unused,
)
from media_service.renders.model import RenderSpec
from tests.support.killable_renditions import ANN, House, KillableDatabase, Killed, objects
from tests.support.renders import count, find, keep, made, render_spec

ORIGINAL = b"the original"


@pytest.fixture
def house(database: Database) -> House:
    return House(database)


async def stored_renders(house: House) -> list[bytes]:
    """The objects in the store other than originals."""
    return [data for data in (await objects(house.raw)).values() if data != ORIGINAL]


async def test_a_render_is_identified_by_its_inputs_and_the_last_stored_one_counts(
    house: House,
) -> None:
    media_id, other = await house.new(ORIGINAL), await house.new(ORIGINAL)
    small = await render_spec(house, media_id)
    await keep(house, small)
    await keep(house, small, b"the same, a moment later")
    found = await find(house, small)
    assert found is not None
    assert (found.content_type, found.size_bytes) == ("image/webp", 24)
    for another in (
        await render_spec(house, other),
        await render_spec(house, media_id, "resize:21x"),
    ):
        assert await find(house, another) is None
    await house.settle()
    assert await stored_renders(house) == [b"the same, a moment later"]


async def test_two_processes_that_render_the_same_store_one(house: House) -> None:
    small = await render_spec(house, await house.new(ORIGINAL))
    await asyncio.gather(*(keep(house, small, bytes([n])) for n in range(4)))
    await house.settle()
    assert (await count(house), len(await stored_renders(house))) == (1, 1)


async def test_a_render_is_served_from_memory_until_it_is_stored(house: House) -> None:
    small = await render_spec(house, await house.new(ORIGINAL))
    cache = RenderCache(house.database, house.raw)
    cache.store_later(small, made(b"x"), b"x")
    at_once = cache.known(small)
    assert at_once is not None
    assert at_once.body == b"x"
    await cache.close()
    stored = cache.known(small)
    assert stored is not None
    assert stored.body != b"x"


async def test_a_purged_media_leaves_no_renders(house: House) -> None:
    media_id = await house.new(ORIGINAL)
    small = await render_spec(house, media_id)
    await keep(house, small)
    await house.media.delete(ANN, media_id, "")
    await house.deletions.purge(ANN, media_id)
    await keep(house, await gone(small))  # rendered before the purge, stored after it
    await house.settle()
    assert await objects(house.raw) == {}
    assert await house.execute("select 1 from blobs") == []


async def gone(asked: RenderSpec) -> RenderSpec:
    return RenderSpec(asked.media, {}, parsed_pipeline("resize:22x"), negotiated=False)


async def test_a_render_that_nobody_requests_is_removed_after_a_month(house: House) -> None:
    media_id = await house.new(ORIGINAL)
    old, used = await render_spec(house, media_id, "resize:1x"), await render_spec(house, media_id)
    await keep(house, old, b"old")
    await keep(house, used, b"used")
    await house.execute("update renders set use_time = now() - interval '29 days'")
    assert await remove_unused(house.database) == 0
    # Its use is recorded once a day.
    cache = RenderCache(house.database, house.raw)
    await cache.find(used)
    assert cache.known(used) is not None
    await cache.close()
    await house.execute("update renders set use_time = use_time - interval '2 days'")
    assert await remove_unused(house.database) == 1
    await house.settle()
    assert await stored_renders(house) == [b"used"]
    assert await find(house, old) is None
    assert await find(house, used) is not None


async def test_the_number_of_renders_of_a_media_is_limited(house: House) -> None:
    media_id = await house.new(ORIGINAL)
    first = await render_spec(house, media_id, "resize:1x")
    await keep(house, first, b"first")
    await house.execute("update renders set use_time = now() - interval '1 hour'")
    await house.execute(
        "insert into renders (media_id, key, blob_id, content_type)"
        " select r.media_id, sha256(n::text::bytea), r.blob_id, '' from renders r,"
        " generate_series(1, %s) n",
        [MAX_RENDERS - 1],
    )
    await house.execute(
        "update blobs set reference_count = %s where key in"
        " (select key from blobs where blob_id in (select blob_id from renders))",
        [MAX_RENDERS],
    )
    for width in range(100, 200):
        another = await render_spec(house, media_id, f"resize:{width}x")
        await keep(house, another, b"another")
        if await find(house, first) is None:
            break
    assert MAX_RENDERS <= await count(house) < MAX_RENDERS + 100
    assert await find(house, first) is None
    assert await find(house, another) is not None


async def test_the_bytes_of_renders_of_a_media_are_limited(house: House) -> None:
    """The least recently used ones are removed, and none of other media."""
    media_id, other = await house.new(ORIGINAL), await house.new(ORIGINAL)
    theirs = await render_spec(house, other)
    await keep(house, theirs, b"theirs")
    asked = [await render_spec(house, media_id, f"resize:{n}x") for n in range(1, 5)]
    for hours, each in enumerate(reversed(asked), 1):
        await keep(house, each, each.pipeline.text.encode())
        await house.execute(
            "update renders set use_time = now() - make_interval(hours => %s) where key = %s",
            [5 - hours, each.key],
        )
    await house.execute(
        "update blobs set size_bytes = %s where blob_id in (select blob_id from renders)",
        [MAX_BYTES // 2 - LARGE_BYTES],
    )
    large = await render_spec(house, media_id, "resize:100x")
    await keep(house, large, bytes(LARGE_BYTES + 1))
    there = [await find(house, each) is not None for each in (*asked, large, theirs)]
    assert there == [True, True, False, False, True, True]


async def test_many_unused_renders_are_removed_at_once(house: House) -> None:
    media_id = await house.new(ORIGINAL)
    await keep(house, await render_spec(house, media_id))
    await house.execute(
        "insert into renders (media_id, key, blob_id, content_type)"
        " select r.media_id, sha256(n::text::bytea), r.blob_id, '' from renders r,"
        " generate_series(1, %s) n",
        [2 * BATCH],
    )
    await house.execute(
        "update blobs set reference_count = %s where blob_id in (select blob_id from renders)",
        [2 * BATCH + 1],
    )
    await house.execute("update renders set use_time = now() - interval '31 days'")
    assert await remove_unused(house.database) == 2 * BATCH + 1
    await house.settle()
    assert (await count(house), await stored_renders(house)) == (0, [])


async def test_a_kill_at_any_step_leaves_nothing_behind(house: House, database_url: str) -> None:
    """The store holds originals and the renders that have a row, and nothing else."""
    media_id = await house.new(ORIGINAL)
    for step in range(6):
        house.steps.left = step
        async with KillableDatabase(database_url, house.steps) as database:
            cache = RenderCache(database, house.raw)
            asked = await render_spec(house, media_id, f"resize:{step + 1}x")
            died = await dies(cache, asked)
            house.steps.left = None
            await house.settle()
            assert (await find(house, asked) is None) == (died and step < 5)
            assert await count(house) == len(await stored_renders(house))
    assert await house.execute("select 1 from blobs where reference_count = 0") == []


async def dies(cache: RenderCache, asked: RenderSpec) -> bool:
    try:
        await cache._store(asked.render_id, made(b"x"), b"x")
    except Killed:
        return True
    return False
