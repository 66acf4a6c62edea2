"""A webhook, as a stranger would use it: the library of the Standard Webhooks specification for
Node.js verifies what arrives."""

import secrets
import tempfile
from pathlib import Path

import httpx
import psycopg

from tests.support.media.small_files import jpeg
from tests.support.rest import client_of, settled
from tests.support.service import Service, environment, running
from tests.support.standard_webhooks import verified
from tests.support.tools import eventually_async
from tests.support.webhook_receiver import Receiver, receiver

TYPES = {"media.created", "media.ready", "media.deleted"}


async def test_what_a_webhook_gets_is_verified_by_the_standard_library() -> None:
    with tempfile.TemporaryDirectory(prefix="media-e2e-") as folder:
        environ = environment(
            Path(folder) / "data",
            MEDIA_JWT_SECRET=secrets.token_hex(32),
            MEDIA_WEBHOOKS_PRIVATE="127.0.0.1",
        )
        with running(environ) as service, client_of(service, "ann") as ann:
            async with receiver() as opened:
                body = {
                    "url": f"http://127.0.0.1:{opened.port}/media",
                    "eventTypes": sorted(TYPES),
                }
                created = ann.post("/v1/webhooks", json=body).raise_for_status().json()
                files = {"file": ("a.jpg", jpeg())}
                media = ann.post("/v1/media:upload", files=files).raise_for_status().json()
                media_id = media["mediaId"]
                settled(ann, media_id)
                ann.delete(f"/v1/media/{media_id}").raise_for_status()

                async def complete() -> bool:
                    return len(opened.received) >= len(TYPES)

                await eventually_async(complete)
                assert set(verified(created["secret"], opened.received) or ()) == TYPES
                await killed_in_an_attempt(service, ann, opened)


async def killed_in_an_attempt(service: Service, ann: httpx.Client, opened: Receiver) -> None:
    """The worker dies while the receiver has not answered. The one that replaces it sends the same
    event again when the lease has ended, which here the test does."""
    opened.received.clear()
    opened.held.add("/media")
    ann.post("/v1/media:upload", files={"file": ("b.jpg", jpeg())}).raise_for_status()

    async def begun() -> bool:
        return bool(opened.received)

    await eventually_async(begun)
    (first,) = opened.received[:1]
    event_id = first.headers["webhook-id"]
    url = service.settings()["MEDIA_DATABASE_URL"]
    service.part("work").kill()
    opened.held.clear()
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("update webhook_deliveries set next_time = now() where next_time is not null")
        db.execute("update webhooks set due_time = now()")

    async def again() -> bool:
        opened.release.set()
        return [e.headers["webhook-id"] for e in opened.received].count(event_id) >= 2

    await eventually_async(again)
