"""An infected file over REST, through Envoy, with a real clamd."""

import asyncio

from media_service.db.database import Database
from media_service.db.notifications import MediaChanged
from media_service.sharing import administrators
from tests.support.clamd import THREAT, Clamd, infected
from tests.support.media.small_files import jpeg
from tests.support.rest import reason_of, refusal
from tests.support.rpc.audit import entries
from tests.support.rpc.front import Open
from tests.support.rpc.server import Start
from tests.support.tools import eventually_async

QUARANTINED = (409, "MEDIA_QUARANTINED")


async def test_an_infected_file_is_quarantined(front: Open, start: Start, clamd: Clamd) -> None:
    scans = {"scan": "required", "scan_address": clamd.unix}
    changed = asyncio.Event()
    async with (
        front(**scans) as to,
        to.client("ann") as ann,
        to.client("root") as root,
        to.client() as http,
        Database(to.service.database_url, 2) as database,
    ):
        upload = await ann.post("/v1/media:upload?filename=a.jpg", content=infected(jpeg()))
        assert (upload.status_code, upload.json()["scan"]["state"]) == (201, "PENDING")
        media_id = upload.json()["mediaId"]
        path = f"/v1/media/{media_id}"
        with database.listen(MediaChanged, media_id, lambda _: changed.set()):
            await start(work=True, **scans)

            async def quarantined() -> dict[str, object]:
                media: dict[str, object] = (await ann.get(path)).json()
                return media if media["state"] == "QUARANTINED" else {}

            media = await eventually_async(quarantined)
            async with asyncio.timeout(20):
                await changed.wait()
        assert (media["scan"]["state"], media["scan"]["threat"]) == ("INFECTED", THREAT)  # type: ignore[index]
        assert reason_of(media["error"]) == "THREAT_FOUND"  # type: ignore[arg-type]
        for answer in (
            await ann.get(f"{path}/content"),
            await ann.get(f"{path}/image", params={"width": 8}),
            await ann.post(f"{path}:signUrl", json={}),
            await ann.post(f"{path}:process", json={"ops": "resize:8x"}),
        ):
            assert refusal(answer) == QUARANTINED
        public = await http.get(f"/v1/public/originals/{media_id}/1/a.jpg")
        assert refusal(public) == (404, "MEDIA_NOT_FOUND")
        recorded = ("service", "media.quarantine", media_id, "THREAT_FOUND")
        assert recorded in await entries(
            to.service, *("actor_type", "action", "media_id", "outcome")
        )
        history = (await ann.get(f"{path}/access")).json()["entries"]
        assert "media.quarantine" in [entry["action"] for entry in history]
        await administrators.add(to.service.database_url, "user:root")
        assert (await root.get(f"{path}/content")).content == infected(jpeg())
