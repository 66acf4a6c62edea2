"""The life of a share link over REST, through Envoy."""

from typing import Any

import httpx

from tests.support.media.small_files import jpeg
from tests.support.renditions import give
from tests.support.rest import refusal
from tests.support.rpc.front import Front, Open

PASSWORD = "correct horse"


async def opened(to: Front, http: httpx.AsyncClient, **body: str) -> httpx.AsyncClient:
    """A client with the session of a link."""
    answer = await http.post("/v1/shareLinks:open", json=body)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store"), answer.text
    return to.client(authorization=f"Bearer {answer.json()['sessionToken']}")


async def test_the_life_of_a_link_over_rest(front: Open) -> None:
    async with front() as to, to.client("ann") as ann, to.client() as http:
        stored = await ann.post("/v1/media:upload?filename=a.jpg", content=jpeg())
        media_id = stored.json()["mediaId"]
        media = f"/v1/media/{media_id}"
        await give(to.service.environ, media_id, "small", b"small")
        wanted = {"targets": [f"media:{media_id}"], "mode": "VIEW", "maxUses": 1}
        created = await ann.post("/v1/shareLinks", json={**wanted, "password": PASSWORD})
        assert (created.status_code, created.headers["cache-control"]) == (201, "no-store")
        secret, link_id = created.json()["secret"], created.json()["shareLink"]["shareLinkId"]
        link = f"/v1/shareLinks/{link_id}"
        for body, answer in (
            ({"secret": "msl_x"}, (404, "SHARE_LINK_NOT_FOUND")),
            ({"secret": secret}, (422, "SHARE_LINK_PASSWORD_REQUIRED")),
            ({"secret": secret, "password": "wrong"}, (403, "SHARE_LINK_PASSWORD_WRONG")),
        ):
            assert refusal(await http.post("/v1/shareLinks:open", json=body)) == answer
        async with await opened(to, http, secret=secret, password=PASSWORD) as guest:
            found = await guest.get("/v1/media")
            assert [each["mediaId"] for each in found.json()["media"]] == [media_id]
            small = f"{media}/renditions/small/content"
            part = await guest.get(small, headers={"range": "bytes=1-"})
            assert (part.status_code, part.content) == (206, b"mall")
            assert refusal(await guest.get(f"{media}/content")) == (403, "DOWNLOAD_NOT_ALLOWED")
            denied = (403, "SHARE_LINK_METHOD_NOT_ALLOWED")
            assert refusal(await guest.delete(media)) == denied
            assert refusal(await guest.get(link)) == denied
            body = {"secret": secret, "password": PASSWORD}
            used = await http.post("/v1/shareLinks:open", json=body)
            assert refusal(used) == (410, "SHARE_LINK_USED_UP")
            assert (await ann.get(link)).json()["uses"] == 1
            of_media = await ann.get("/v1/shareLinks", params={"target": f"media:{media_id}"})
            assert [each["shareLinkId"] for each in of_media.json()["shareLinks"]] == [link_id]
            assert secret not in of_media.text
            assert (await ann.post(f"{link}:revoke", json={})).json()["revokeTime"]
            assert refusal(await guest.get(small)) == (404, "MEDIA_NOT_FOUND")
            assert refusal(await http.post("/v1/shareLinks:open", json=body)) == (
                404,
                "SHARE_LINK_NOT_FOUND",
            )


async def test_a_guest_uploads_over_rest(front: Open) -> None:
    async with front() as to, to.client("ann") as ann, to.client() as http:
        project = (await ann.post("/v1/projects", json={"displayName": "Party"})).json()
        project_id = project["projectId"]
        wanted = {"targets": [f"project:{project_id}"], "mode": "UPLOAD", "maxFiles": 1}
        created = (await ann.post("/v1/shareLinks", json=wanted)).json()
        form: dict[str, Any] = {
            "data": {"project_id": project_id},
            "files": {"file": ("a.jpg", jpeg())},
        }
        async with await opened(to, http, secret=created["secret"]) as guest:
            stored = await guest.post("/v1/media:upload", **form)
            assert ("etag" in stored.headers, stored.json()["sizeBytes"]) == (False, "0")
            assert stored.status_code == 201, stored.text
            full = await guest.post("/v1/media:upload", **form)
            assert refusal(full) == (409, "SHARE_LINK_FULL")
            denied = (403, "SHARE_LINK_METHOD_NOT_ALLOWED")
            assert refusal(await guest.get("/v1/media")) == denied
            await ann.post(f"/v1/shareLinks/{created['shareLink']['shareLinkId']}:revoke", json={})
            ended = await guest.post("/v1/media:upload", **form)
            assert refusal(ended) == (404, "PROJECT_NOT_FOUND")
        content = await ann.get(f"/v1/media/{stored.json()['mediaId']}/content")
        assert content.content == jpeg()
