"""Reconcile recognizes cached renders, and removes lost or damaged ones, which can be rendered
again."""

from media_service.blobs.model import Blob
from media_service.db.notifications import JobRunnable
from tests.support.killable_renditions import RenditionHarness
from tests.support.notifications import heard
from tests.support.reconciling import reconcile_renditions
from tests.support.renders import count, find, keep, render_spec


async def test_cached_renders_are_not_orphans(harness: RenditionHarness) -> None:
    await keep(harness, await render_spec(harness, await harness.new()))
    assert await reconcile_renditions(harness) == []


async def test_a_lost_or_damaged_render_is_removed_and_its_media_is_not_quarantined(
    harness: RenditionHarness,
) -> None:
    media_id = await harness.new()
    lost = await render_spec(harness, media_id)
    damaged = await render_spec(harness, media_id, "resize:30x")
    for asked, bytes_ in ((lost, None), (damaged, b"ANOTHER!")):
        await keep(harness, asked)
        found = await find(harness, asked)
        assert found is not None
        assert isinstance(found.body, Blob)
        if bytes_ is None:
            await harness.raw.driver.delete(found.body.key)
        else:
            await harness.raw.driver.delete(found.body.key)
            await harness.raw.driver.put(found.body.key, bytes_)
    async with heard(harness.database, JobRunnable, "") as woken:
        kinds = {finding.kind: finding.media_ids for finding in await reconcile_renditions(harness)}
        assert JobRunnable() in await woken.all()
    assert kinds == {"MISSING": (media_id,), "CORRUPT": (media_id,)}
    assert (await harness.there(media_id)).state == "READY"
    assert await reconcile_renditions(harness) == []
    assert await count(harness) == 0
    await harness.settle()
    assert await harness.execute("select 1 from blobs where reference_count = 0") == []
