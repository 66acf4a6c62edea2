"""Reconcile knows cached renders, and removes lost or damaged ones, which can be rendered again."""

from media_service.blobs.model import Blob
from media_service.db.events import JobRunnable
from tests.support.killable_renditions import House
from tests.support.notifications import heard
from tests.support.reconciling import reconcile_renditions
from tests.support.renders import count, find, keep, render_spec


async def test_cached_renders_are_no_orphans(house: House) -> None:
    await keep(house, await render_spec(house, await house.new()))
    assert await reconcile_renditions(house) == []


async def test_a_lost_or_damaged_render_is_removed_and_its_media_is_not_quarantined(
    house: House,
) -> None:
    media_id = await house.new()
    lost = await render_spec(house, media_id)
    damaged = await render_spec(house, media_id, "resize:30x")
    for asked, bytes_ in ((lost, None), (damaged, b"ANOTHER!")):
        await keep(house, asked)
        found = await find(house, asked)
        assert found is not None
        assert isinstance(found.body, Blob)
        if bytes_ is None:
            await house.raw.driver.delete(found.body.key)
        else:
            await house.raw.driver.delete(found.body.key)
            await house.raw.driver.put(found.body.key, bytes_)
    with heard(house.database, JobRunnable, "") as woken:
        kinds = {finding.kind: finding.media_ids for finding in await reconcile_renditions(house)}
        assert JobRunnable() in await woken.all()
    assert kinds == {"MISSING": (media_id,), "CORRUPT": (media_id,)}
    assert (await house.there(media_id)).state == "PENDING"
    assert await reconcile_renditions(house) == []
    assert await count(house) == 0
    await house.settle()
    assert await house.execute("select 1 from blobs where reference_count = 0") == []
