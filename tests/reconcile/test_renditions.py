"""Renditions are somebody's, too; and nothing of what is in quarantine is public."""

import asyncio

from media_service.media.model import MediaState
from media_service.reconcile.model import Kind
from tests.support.killable_renditions import House, WaitingDriver, objects
from tests.support.reconciling import reconcile_renditions


async def public_media(house: House) -> str:
    media_id = await house.new(b"the original")
    await house.show(media_id, "PUBLIC")
    await house.add(media_id, "small", b"small image")
    await house.settle()
    return media_id


async def test_renditions_in_either_store_are_no_orphans(house: House) -> None:
    await public_media(house)
    await house.add(await house.new(b"another"), "small", b"private image")
    assert await reconcile_renditions(house) == []


async def test_a_rendition_that_is_being_added_is_no_orphan(house: House) -> None:
    media_id = await house.new(b"the original")
    await house.show(media_id, "PUBLIC")
    slow = house.public.driver = WaitingDriver(house.steps)
    adding = asyncio.create_task(house.add(media_id, "small", b"small image"))
    await slow.stored.wait()
    assert await reconcile_renditions(house) == []
    slow.go_on.set()
    await adding
    assert list((await objects(house.public)).values()) == [b"small image"]


async def test_a_lost_rendition_is_told_with_its_media_and_nobody_is_in_quarantine(
    house: House,
) -> None:
    """The original is as good as ever."""
    media_id = await public_media(house)
    (small,) = (await house.there(media_id)).renditions
    await house.public.driver.delete(small.blob.key)
    (found,) = await reconcile_renditions(house)
    assert (found.kind, found.store, found.media_ids) == (Kind.MISSING, "public", (media_id,))
    assert (await house.there(media_id)).state is MediaState.PENDING


async def test_what_is_in_quarantine_is_not_public(house: House) -> None:
    media_id = await public_media(house)
    original = (await house.there(media_id)).blob
    await house.raw.driver.delete(original.key)
    assert [found.kind for found in await reconcile_renditions(house)] == [Kind.MISSING]
    await house.work()
    assert await objects(house.public) == {}
    await house.raw.driver.put(original.key, b"the original")
    assert [found.kind for found in await reconcile_renditions(house)] == [Kind.RECOVERED]
    await house.execute("delete from jobs where kind = 'INGEST'")
    await house.work()
    assert list((await objects(house.public)).values()) == [b"small image"]
