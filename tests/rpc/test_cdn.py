"""A CDN keeps public content until it changes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from aiohttp import web

from media_service.cdn.drivers import Bunny, Cloudflare, Fastly, open_purger
from media_service.cdn.purger import PurgeFailed, Purger
from media_service.cdn.sink import CdnSink
from media_service.events.conformance import events
from media_service.events.sink import SinkUnavailable
from tests.support.media.small_files import jpeg, png
from tests.support.ports import free_port
from tests.support.rpc.front import Open
from tests.support.tools import eventually_async
from tests.support.varnish import varnish

TOKEN = "secret-token"
KEYS = ["media-1", "media-2"]


async def test_varnish_keeps_public_content_until_it_changes(front: Open, tmp_path: Path) -> None:
    port = free_port()
    async with front(work=True, cdn_purge=f"varnish+http://127.0.0.1:{port}") as to:
        with varnish(tmp_path, urlsplit(to.url).port or 0, port) as cache:
            async with to.client("ann") as ann, httpx.AsyncClient(base_url=cache) as public:
                stored = await ann.post("/v1/media:upload?filename=a.jpg", content=jpeg())
                media_id = stored.json()["mediaId"]
                media = f"/v1/media/{media_id}"
                published = await ann.patch(media, json={"visibility": "PUBLIC_ORIGINAL"})
                assert published.status_code == 200

                async def state() -> Any:
                    return (await ann.get(media)).json()["state"] == "READY"

                await eventually_async(state)
                path = urlsplit((await ann.get(media)).json()["publicUrl"]).path

                async def kept() -> bool:
                    """Purges of the renditions may come after the first reads."""
                    return (await public.get(path)).headers["x-cache"] == "hit"

                await eventually_async(kept)
                hit = await public.get(path)
                assert hit.content == jpeg()
                assert "surrogate-key" not in hit.headers
                assert int(hit.headers["age"]) >= 0

                replaced = await ann.post(
                    "/v1/media:upload", params={"spec.mediaId": media_id}, content=png()
                )
                assert replaced.status_code == 201

                async def new() -> bool:
                    return (await public.get(path)).content == png()

                await eventually_async(new)

                changed = await ann.patch(media, json={"visibility": "PRIVATE"})
                assert changed.status_code == 200

                async def refused() -> bool:
                    return (await public.get(path)).status_code == 404

                await eventually_async(refused)
                # What is not public passes, also with a token.
                assert (await public.get(media)).status_code == 401


@asynccontextmanager
async def api(received: list[tuple[str, str, dict[str, str], Any]]) -> AsyncIterator[str]:
    """The API of a CDN. It refuses a wrong token."""

    async def handle(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.json() if request.can_read_body else None
        received.append((request.method, request.path, headers, body))
        given = [headers.get(name, "") for name in ("fastly-key", "authorization", "accesskey")]
        allowed = any(TOKEN in each for each in given)
        return web.Response(status=200 if allowed else 403, text="no such token")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("open_with", "path", "bodies"),
    [
        (
            lambda url, token: Fastly("S1", token, url),
            "/service/S1/purge",
            [{"surrogate_keys": KEYS}],
        ),
        (
            lambda url, token: Cloudflare("Z1", token, url),
            "/zones/Z1/purge_cache",
            [{"tags": KEYS}],
        ),
        (
            lambda url, token: Bunny("7", token, url),
            "/pullzone/7/purgeCache",
            [{"CacheTag": key} for key in KEYS],
        ),
        (lambda url, token: open_purger(f"{url}/purge", token), "/purge", [{"keys": KEYS}]),
    ],
    ids=["fastly", "cloudflare", "bunny", "url"],
)
async def test_each_service_is_told_in_its_own_words(
    open_with: Callable[[str, str], Purger], path: str, bodies: Sequence[Any]
) -> None:
    received: list[tuple[str, str, dict[str, str], Any]] = []
    async with api(received) as url:
        purger = open_with(url, TOKEN)
        await purger.purge(KEYS)
        assert [(method, where, body) for method, where, _, body in received] == [
            ("POST", path, body) for body in bodies
        ]
        many = [f"media-{number}" for number in range(300)]
        await purger.purge(many)
        named = str([body for *_, body in received])
        assert all(f"'{key}'" in named for key in many)
        await purger.close()
        denied = open_with(url, "wrong")
        with pytest.raises(PurgeFailed, match="403: no such token"):
            await denied.purge(KEYS)
        await denied.close()
    away = open_with(url, TOKEN)
    with pytest.raises(PurgeFailed) as caught:
        await away.purge(KEYS)
    assert TOKEN not in str(caught.value)
    await away.close()


class Recorded:
    def __init__(self) -> None:
        self.keys: list[str] = []
        self.works = True

    async def purge(self, keys: Sequence[str]) -> None:
        if not self.works:
            raise PurgeFailed("away")
        self.keys += keys

    async def close(self) -> None:
        await asyncio.sleep(0)


async def test_only_what_anyone_could_read_is_purged() -> None:
    purger = Recorded()
    sink = CdnSink(purger)
    created, updated = events(2)  # of a private media
    await sink.publish([created])
    assert purger.keys == []
    await sink.publish([updated, updated])
    assert purger.keys == [f"media-{updated.media_id}"], "it may have been public before"
    purger.works = False
    with pytest.raises(SinkUnavailable, match="MEDIA_CDN_PURGE: away"):
        await sink.publish([updated])


@pytest.mark.parametrize(
    ("address", "token"),
    [
        ("fastly:", TOKEN),
        ("fastly:S1", ""),
        ("fastly:a/b", TOKEN),
        ("ftp://x", ""),
        ("varnish+x", ""),
    ],
)
def test_a_wrong_setting_says_what_is_allowed(address: str, token: str) -> None:
    with pytest.raises(ValueError, match=r"fastly|MEDIA_CDN_TOKEN"):
        open_purger(address, token)
