"""Pictures made for a request are kept as long as somebody asks for them, and no longer."""

import asyncio

import pytest

from media_service.blobs.writing import measure
from media_service.codecs.pipeline.pipeline import requested_pipeline
from media_service.codecs.pipeline.validation import parse
from media_service.db.database import Database
from media_service.renders.cache import BATCH, LARGE, MOST, MOST_BYTES, RenderCache, forget_unused
from media_service.renders.model import Picture, Render
from tests.support.killable_renditions import ANN, House, KillableDatabase, Killed, objects

ORIGINAL = b"the original"


@pytest.fixture
def house(database: Database) -> House:
    return House(database)


async def picture(house: House, media_id: str, ops: str = "resize:20x") -> Picture:
    return Picture(
        await house.there(media_id), {}, requested_pipeline(parse(ops)), negotiated=False
    )


def made(data: bytes) -> Render:
    return Render(data, "image/webp", *measure(data))


async def keep(house: House, asked: Picture, data: bytes = b"a picture") -> None:
    """Keeps a picture, as a process does that ends then."""
    cache = RenderCache(house.database, house.raw)
    cache.keep_later(asked, made(data), data)
    await cache.close()


async def find(house: House, asked: Picture) -> Render | None:
    return await RenderCache(house.database, house.raw).find(asked)


async def pictures(house: House) -> list[bytes]:
    """What lies in the store beside the originals."""
    return [data for data in (await objects(house.raw)).values() if data != ORIGINAL]


async def count(house: House) -> int:
    return len(await house.execute("select 1 from renders"))


async def test_a_picture_is_known_by_what_it_is_made_of_and_the_last_one_counts(
    house: House,
) -> None:
    media_id, other = await house.new(ORIGINAL), await house.new(ORIGINAL)
    small = await picture(house, media_id)
    await keep(house, small)
    await keep(house, small, b"the same, a moment later")
    found = await find(house, small)
    assert found is not None
    assert (found.content_type, found.size_bytes) == ("image/webp", 24)
    for another in (await picture(house, other), await picture(house, media_id, "resize:21x")):
        assert await find(house, another) is None
    await house.settle()
    assert await pictures(house) == [b"the same, a moment later"]


async def test_two_processes_that_made_the_same_keep_one(house: House) -> None:
    small = await picture(house, await house.new(ORIGINAL))
    await asyncio.gather(*(keep(house, small, bytes([n])) for n in range(4)))
    await house.settle()
    assert (await count(house), len(await pictures(house))) == (1, 1)


async def test_before_it_is_stored_it_is_given_out_all_the_same(house: House) -> None:
    small = await picture(house, await house.new(ORIGINAL))
    cache = RenderCache(house.database, house.raw)
    cache.keep_later(small, made(b"x"), b"x")
    at_once = cache.known(small)
    assert at_once is not None
    assert at_once.source == b"x"
    await cache.close()
    stored = cache.known(small)
    assert stored is not None
    assert stored.source != b"x"


async def test_of_a_media_that_is_purged_nothing_stays(house: House) -> None:
    media_id = await house.new(ORIGINAL)
    small = await picture(house, media_id)
    await keep(house, small)
    await house.media.delete(ANN, media_id, "")
    await house.deletions.purge(ANN, media_id)
    await keep(house, await gone(small))  # it was made before, and is stored only now
    await house.settle()
    assert await objects(house.raw) == {}
    assert await house.execute("select 1 from blobs") == []


async def gone(asked: Picture) -> Picture:
    return Picture(asked.media, {}, requested_pipeline(parse("resize:22x")), negotiated=False)


async def test_what_nobody_asks_for_goes_after_a_month(house: House) -> None:
    media_id = await house.new(ORIGINAL)
    old, used = await picture(house, media_id, "resize:1x"), await picture(house, media_id)
    await keep(house, old, b"old")
    await keep(house, used, b"used")
    await house.execute("update renders set use_time = now() - interval '29 days'")
    assert await forget_unused(house.database) == 0
    # Who is asked for it says so, once a day.
    cache = RenderCache(house.database, house.raw)
    await cache.find(used)
    assert cache.known(used) is not None
    await cache.close()
    await house.execute("update renders set use_time = use_time - interval '2 days'")
    assert await forget_unused(house.database) == 1
    await house.settle()
    assert await pictures(house) == [b"used"]
    assert await find(house, old) is None
    assert await find(house, used) is not None


async def test_of_one_media_only_so_many_are_kept(house: House) -> None:
    media_id = await house.new(ORIGINAL)
    first = await picture(house, media_id, "resize:1x")
    await keep(house, first, b"first")
    await house.execute("update renders set use_time = now() - interval '1 hour'")
    await house.execute(
        "insert into renders (media_id, key, blob_id, content_type)"
        " select r.media_id, sha256(n::text::bytea), r.blob_id, '' from renders r,"
        " generate_series(1, %s) n",
        [MOST - 1],
    )
    await house.execute(
        "update blobs set reference_count = %s where key in"
        " (select key from blobs where blob_id in (select blob_id from renders))",
        [MOST],
    )
    for width in range(100, 200):
        another = await picture(house, media_id, f"resize:{width}x")
        await keep(house, another, b"another")
        if await find(house, first) is None:
            break
    assert MOST <= await count(house) < MOST + 100
    assert await find(house, first) is None
    assert await find(house, another) is not None


async def test_of_one_media_only_so_many_bytes_are_kept(house: House) -> None:
    """Those that were used last, and of others' none goes."""
    media_id, other = await house.new(ORIGINAL), await house.new(ORIGINAL)
    theirs = await picture(house, other)
    await keep(house, theirs, b"theirs")
    asked = [await picture(house, media_id, f"resize:{n}x") for n in range(1, 5)]
    for hours, each in enumerate(reversed(asked), 1):
        await keep(house, each, each.plan.text.encode())
        await house.execute(
            "update renders set use_time = now() - make_interval(hours => %s) where key = %s",
            [5 - hours, each.key],
        )
    await house.execute(
        "update blobs set size_bytes = %s where blob_id in (select blob_id from renders)",
        [MOST_BYTES // 2 - LARGE],
    )
    large = await picture(house, media_id, "resize:100x")
    await keep(house, large, bytes(LARGE + 1))
    there = [await find(house, each) is not None for each in (*asked, large, theirs)]
    assert there == [True, True, False, False, True, True]


async def test_many_that_nobody_asks_for_go_at_once(house: House) -> None:
    media_id = await house.new(ORIGINAL)
    await keep(house, await picture(house, media_id))
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
    assert await forget_unused(house.database) == 2 * BATCH + 1
    await house.settle()
    assert (await count(house), await pictures(house)) == (0, [])


async def test_killed_at_any_step_nothing_is_left_over(house: House, database_url: str) -> None:
    """Beside the originals lies what the rows of pictures name, and nothing else."""
    media_id = await house.new(ORIGINAL)
    for step in range(6):
        house.steps.left = step
        async with KillableDatabase(database_url, house.steps) as database:
            cache = RenderCache(database, house.raw)
            asked = await picture(house, media_id, f"resize:{step + 1}x")
            died = await dies(cache, asked)
            house.steps.left = None
            await house.settle()
            assert (await find(house, asked) is None) == (died and step < 5)
            assert await count(house) == len(await pictures(house))
    assert await house.execute("select 1 from blobs where reference_count = 0") == []


async def dies(cache: RenderCache, asked: Picture) -> bool:
    try:
        await cache._keep(asked.identity, made(b"x"), b"x")
    except Killed:
        return True
    return False
