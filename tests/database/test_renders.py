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
from tests.support.batches import changed_by
from tests.support.killable_renditions import (
    ANN,
    KillableDatabase,
    Killed,
    RenditionHarness,
    objects,
)
from tests.support.renders import count, find, keep, made, render_spec

ORIGINAL = b"the original"


@pytest.fixture
def harness(database: Database) -> RenditionHarness:
    return RenditionHarness(database)


async def stored_renders(harness: RenditionHarness) -> list[bytes]:
    """The objects in the store other than originals."""
    return [data for data in (await objects(harness.raw)).values() if data != ORIGINAL]


async def test_a_render_is_identified_by_its_inputs_and_the_last_stored_one_wins(
    harness: RenditionHarness,
) -> None:
    media_id, other = await harness.new(ORIGINAL), await harness.new(ORIGINAL)
    small = await render_spec(harness, media_id)
    await keep(harness, small)
    await keep(harness, small, b"the same, a moment later")
    found = await find(harness, small)
    assert found is not None
    assert (found.content_type, found.size_bytes) == ("image/webp", 24)
    for another in (
        await render_spec(harness, other),
        await render_spec(harness, media_id, "resize:21x"),
    ):
        assert await find(harness, another) is None
    await harness.settle()
    assert await stored_renders(harness) == [b"the same, a moment later"]


async def test_two_processes_with_the_same_render_store_one(harness: RenditionHarness) -> None:
    small = await render_spec(harness, await harness.new(ORIGINAL))
    await asyncio.gather(*(keep(harness, small, bytes([n])) for n in range(4)))
    await harness.settle()
    assert (await count(harness), len(await stored_renders(harness))) == (1, 1)


async def test_a_render_is_served_from_memory_until_it_is_stored(harness: RenditionHarness) -> None:
    small = await render_spec(harness, await harness.new(ORIGINAL))
    cache = RenderCache(harness.database, harness.raw)
    cache.store_later(small, made(b"x"), b"x")
    at_once = cache.known(small)
    assert at_once is not None
    assert at_once.body == b"x"
    await cache.close()
    stored = cache.known(small)
    assert stored is not None
    assert stored.body != b"x"


async def test_a_purged_media_leaves_no_renders(harness: RenditionHarness) -> None:
    media_id = await harness.new(ORIGINAL)
    small = await render_spec(harness, media_id)
    await keep(harness, small)
    await harness.media.delete(ANN, media_id, "")
    await harness.deletions.purge(ANN, media_id)
    await keep(harness, await gone(small))  # rendered before the purge, stored after it
    await harness.settle()
    assert await objects(harness.raw) == {}
    assert await harness.execute("select 1 from blobs") == []


async def gone(asked: RenderSpec) -> RenderSpec:
    return RenderSpec(
        *(asked.media, {}, parsed_pipeline("resize:22x")), negotiated=False, charged=asked.charged
    )


async def test_a_render_that_nobody_requests_is_removed_after_a_month(
    harness: RenditionHarness,
) -> None:
    media_id = await harness.new(ORIGINAL)
    old, used = (
        await render_spec(harness, media_id, "resize:1x"),
        await render_spec(harness, media_id),
    )
    await keep(harness, old, b"old")
    await keep(harness, used, b"used")
    await harness.execute("update renders set use_time = now() - interval '29 days'")
    assert await changed_by(remove_unused(harness.database)) == 0
    # Its use is recorded once a day.
    cache = RenderCache(harness.database, harness.raw)
    await cache.find(used)
    assert cache.known(used) is not None
    await cache.close()
    await harness.execute("update renders set use_time = use_time - interval '2 days'")
    assert await changed_by(remove_unused(harness.database)) == 1
    await harness.settle()
    assert await stored_renders(harness) == [b"used"]
    assert await find(harness, old) is None
    assert await find(harness, used) is not None


async def test_the_number_of_renders_of_a_media_is_limited(harness: RenditionHarness) -> None:
    media_id = await harness.new(ORIGINAL)
    first = await render_spec(harness, media_id, "resize:1x")
    await keep(harness, first, b"first")
    await harness.execute("update renders set use_time = now() - interval '1 hour'")
    await harness.execute(
        "insert into renders (media_id, key, blob_id, content_type)"
        " select r.media_id, sha256(n::text::bytea), r.blob_id, '' from renders r,"
        " generate_series(1, %s) n",
        [MAX_RENDERS - 1],
    )
    await harness.execute(
        "update blobs set reference_count = %s where key in"
        " (select key from blobs where blob_id in (select blob_id from renders))",
        [MAX_RENDERS],
    )
    for width in range(100, 200):
        another = await render_spec(harness, media_id, f"resize:{width}x")
        await keep(harness, another, b"another")
        if await find(harness, first) is None:
            break
    assert MAX_RENDERS <= await count(harness) < MAX_RENDERS + 100
    assert await find(harness, first) is None
    assert await find(harness, another) is not None


async def test_the_bytes_of_renders_of_a_media_are_limited(harness: RenditionHarness) -> None:
    """The least recently used renders of the media are removed, and none of other media."""
    media_id, other = await harness.new(ORIGINAL), await harness.new(ORIGINAL)
    theirs = await render_spec(harness, other)
    await keep(harness, theirs, b"theirs")
    asked = [await render_spec(harness, media_id, f"resize:{n}x") for n in range(1, 5)]
    for hours, each in enumerate(reversed(asked), 1):
        await keep(harness, each, each.pipeline.text.encode())
        await harness.execute(
            "update renders set use_time = now() - make_interval(hours => %s) where key = %s",
            [5 - hours, each.key],
        )
    await harness.execute(
        "update blobs set size_bytes = %s where blob_id in (select blob_id from renders)",
        [MAX_BYTES // 2 - LARGE_BYTES],
    )
    large = await render_spec(harness, media_id, "resize:100x")
    await keep(harness, large, bytes(LARGE_BYTES + 1))
    there = [await find(harness, each) is not None for each in (*asked, large, theirs)]
    assert there == [True, True, False, False, True, True]


async def test_many_unused_renders_are_removed_at_once(harness: RenditionHarness) -> None:
    media_id = await harness.new(ORIGINAL)
    await keep(harness, await render_spec(harness, media_id))
    await harness.execute(
        "insert into renders (media_id, key, blob_id, content_type)"
        " select r.media_id, sha256(n::text::bytea), r.blob_id, '' from renders r,"
        " generate_series(1, %s) n",
        [2 * BATCH],
    )
    await harness.execute(
        "update blobs set reference_count = %s where blob_id in (select blob_id from renders)",
        [2 * BATCH + 1],
    )
    await harness.execute("update renders set use_time = now() - interval '31 days'")
    assert await changed_by(remove_unused(harness.database)) == 2 * BATCH + 1
    await harness.settle()
    assert (await count(harness), await stored_renders(harness)) == (0, [])


async def test_a_kill_at_any_step_leaves_no_orphaned_render(
    harness: RenditionHarness, database_url: str
) -> None:
    """The store has only originals and renders with a row."""
    media_id = await harness.new(ORIGINAL)
    for step in range(6):
        harness.steps.left = step
        async with KillableDatabase(database_url, harness.steps) as database:
            cache = RenderCache(database, harness.raw)
            asked = await render_spec(harness, media_id, f"resize:{step + 1}x")
            died = await dies(cache, asked)
            harness.steps.left = None
            await harness.settle()
            assert (await find(harness, asked) is None) == (died and step < 5)
            assert await count(harness) == len(await stored_renders(harness))
    assert await harness.execute("select 1 from blobs where reference_count = 0") == []


async def dies(cache: RenderCache, asked: RenderSpec) -> bool:
    try:
        await cache._store(asked.render_id, made(b"x"), b"x")
    except Killed:
        return True
    return False
