"""Renditions are not orphans, and those of a quarantined media are not public."""

import asyncio

from media_service.media.model import MediaState
from media_service.reconcile.model import Kind
from tests.support.killable_renditions import RenditionHarness, WaitingDriver, objects
from tests.support.reconciling import reconcile_renditions


async def public_media(harness: RenditionHarness) -> str:
    media_id = await harness.new(b"the original")
    await harness.show(media_id, "PUBLIC")
    await harness.add(media_id, "small", b"small image")
    await harness.settle()
    return media_id


async def test_renditions_in_either_store_are_not_orphans(harness: RenditionHarness) -> None:
    await public_media(harness)
    await harness.add(await harness.new(b"another"), "small", b"private image")
    assert await reconcile_renditions(harness) == []


async def test_a_rendition_that_is_being_added_is_not_an_orphan(harness: RenditionHarness) -> None:
    media_id = await harness.new(b"the original")
    await harness.show(media_id, "PUBLIC")
    slow = harness.public.driver = WaitingDriver(harness.steps)
    adding = asyncio.create_task(harness.add(media_id, "small", b"small image"))
    await slow.stored.wait()
    assert await reconcile_renditions(harness) == []
    slow.go_on.set()
    await adding
    assert list((await objects(harness.public)).values()) == [b"small image"]


async def test_a_lost_rendition_is_reported_without_quarantining_its_media(
    harness: RenditionHarness,
) -> None:
    """The original is intact."""
    media_id = await public_media(harness)
    (small,) = (await harness.there(media_id)).renditions
    await harness.public.driver.delete(small.blob.key)
    (found,) = await reconcile_renditions(harness)
    assert (found.kind, found.store, found.media_ids) == (Kind.MISSING, "public", (media_id,))
    assert (await harness.there(media_id)).state is MediaState.READY


async def test_renditions_of_a_quarantined_media_are_not_public(harness: RenditionHarness) -> None:
    media_id = await public_media(harness)
    original = (await harness.there(media_id)).blob
    await harness.raw.driver.delete(original.key)
    assert [found.kind for found in await reconcile_renditions(harness)] == [Kind.MISSING]
    await harness.work()
    assert await objects(harness.public) == {}
    await harness.raw.driver.put(original.key, b"the original")
    assert [found.kind for found in await reconcile_renditions(harness)] == [Kind.RECOVERED]
    await harness.execute("delete from jobs where kind = 'INGEST'")
    await harness.work()
    assert list((await objects(harness.public)).values()) == [b"small image"]
