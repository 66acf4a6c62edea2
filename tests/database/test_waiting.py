"""A request waits for a limited time, whatever happens to its media."""

import asyncio

import pytest

from media_service.access.owner import Owner
from media_service.db.database import Database
from media_service.db.notifications import MediaChanged
from media_service.downloads import waiting
from media_service.downloads.waiting import Waiting
from media_service.errors import Reason, Unavailable

MEDIA = "0199c7a5-6c1e-7cc3-98ab-4a61f21a3a0b"


async def test_a_wait_ends_while_its_media_keeps_changing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "WAIT_SECONDS", 0.2)
    changed = asyncio.Event()

    async def look() -> None:
        changed.clear()
        async with database.transaction() as tx:
            tx.notify(MediaChanged(MEDIA))
        await changed.wait()
        raise Unavailable(Reason.MEDIA_NOT_READY, "not yet", media_id=MEDIA)

    listening = database.listen(MediaChanged, MEDIA, lambda _: changed.set())
    with listening, pytest.raises(Unavailable, match="not yet"):
        async with asyncio.timeout(30):
            await Waiting(database).until_ready(Owner("user", "ann"), look)
