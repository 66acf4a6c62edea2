"""Pictures made for a request are somebody's, and what is lost of them is made again."""

from media_service.db.events import JobRunnable
from tests.database.test_renders import count, find, keep, picture
from tests.database.test_transactions import heard
from tests.reconcile.test_renditions import house, reconcile
from tests.support.killable_renditions import House

__all__ = ["house"]


async def test_pictures_that_are_kept_are_no_orphans(house: House) -> None:
    await keep(house, await picture(house, await house.new()))
    assert await reconcile(house) == []


async def test_a_picture_that_is_lost_or_damaged_is_forgotten_and_nobody_is_in_quarantine(
    house: House,
) -> None:
    media_id = await house.new()
    lost = await picture(house, media_id)
    damaged = await picture(house, media_id, "resize:30x")
    for asked, bytes_ in ((lost, None), (damaged, b"ANOTHER!!")):
        await keep(house, asked)
        found = await find(house, asked)
        assert found is not None
        if bytes_ is None:
            await house.raw.driver.delete(found.source.key)
        else:
            await house.raw.driver.delete(found.source.key)
            await house.raw.driver.put(found.source.key, bytes_)
    with heard(house.database, JobRunnable, "") as woken:
        kinds = {finding.kind: finding.media_ids for finding in await reconcile(house)}
        assert JobRunnable() in await woken.all()
    assert kinds == {"MISSING": (media_id,), "CORRUPT": (media_id,)}
    assert (await house.there(media_id)).state == "PENDING"
    assert await reconcile(house) == []
    assert await count(house) == 0
    await house.settle()
    assert await house.execute("select 1 from blobs where reference_count = 0") == []
