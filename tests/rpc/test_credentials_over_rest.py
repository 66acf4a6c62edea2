"""API keys and tokens over REST, through Envoy."""

import httpx

from media_service.credentials.key_text import new_key
from tests.support.media.small_files import jpeg
from tests.support.rest import refusal
from tests.support.rpc.front import Open
from tests.support.rpc.server import token
from tests.support.tools import eventually_async

KEY = new_key().text
IN_URL = "The query has an access token, an API key, or the secret of a share link."


async def create(client: httpx.AsyncClient, path: str, body: object) -> dict[str, object]:
    answer = await client.post(path, json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_an_api_key_calls_over_rest_until_it_is_revoked(front: Open) -> None:
    async with front() as to, to.client("ann") as ann, to.client() as http:
        account = await create(ann, "/v1/serviceAccounts", {"displayName": "robot"})
        keys = f"/v1/serviceAccounts/{account['serviceAccountId']}/apiKeys"
        answer = await ann.post(keys, json={"scopes": ["uploads.write", "media.*"]})
        assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
        key, api_key = answer.json()["key"], answer.json()["apiKey"]
        as_bearer = {"authorization": f"Bearer {key}"}
        stored = await http.post(
            "/v1/media:upload?filename=a.jpg", content=jpeg(), headers={"x-api-key": key}
        )
        assert stored.status_code == 201
        assert stored.json()["owner"] == {
            "type": "service_account",
            "id": account["serviceAccountId"],
            "organizationId": "",
        }
        media = f"/v1/media/{stored.json()['mediaId']}"
        assert (await http.get(f"{media}/content", headers=as_bearer)).content == jpeg()
        refused = await http.get("/v1/serviceAccounts", headers=as_bearer)
        assert refusal(refused) == (403, "SCOPE_MISSING")
        found = await ann.get("/v1/apiKeys", params={"prefix": api_key["prefix"]})
        assert [each["apiKeyId"] for each in found.json()["apiKeys"]] == [api_key["apiKeyId"]]
        assert key not in found.text
        revoked = await ann.post(f"/v1/apiKeys/{api_key['apiKeyId']}:revoke", json={})
        assert revoked.json()["revokeTime"]
        for headers in (as_bearer, {"x-api-key": key}):
            answer = await http.get(f"{media}/content", headers=headers)
            assert refusal(answer) == (401, "TOKEN_INVALID")
        deleted = await ann.delete(f"/v1/serviceAccounts/{account['serviceAccountId']}")
        assert deleted.json()["deleteTime"]


async def test_credentials_in_a_url_are_refused_and_not_logged(front: Open) -> None:
    jwt = token("ann")
    queries = {
        f"access_token={jwt}": "access_token",
        f"token={jwt}": "token",
        f"page_size=1&key={KEY}": "key",
        "api_key=hush": "api_key",
        "apiKey=hush": "apiKey",
        "X-Api-Key=hush": "X-Api-Key",
        "access%5Ftoken=hush": "access_token",
        f"a=b&x=%6Dsk_{KEY[4:]}": "x",
        "authorization=Bearer%20hush": "authorization",
        "auth=Bearer+hush": "auth",
        "secret=msl_hush": "secret",
        "a=mss_hush": "a",
        KEY: "query",
        f"{KEY}=1": "query",
        f"<{KEY}>={KEY}": "query",
    }
    paths = ("/v1/media", "/v1/media/x/content", "/v1/public/a", "/v1/signed/a.b.c", "/nothing")
    async with front() as to, to.client("ann") as ann:
        for query, name in queries.items():
            for path in paths:
                answer = await ann.get(f"{path}?{query}")
                assert refusal(answer) == (400, "INVALID_REQUEST"), (path, query)
                assert answer.json()["message"].startswith(IN_URL)
                (field,) = answer.json()["details"][1]["fieldViolations"]
                assert field["field"] == name
                assert KEY not in answer.text
            for method in ("POST", "DELETE", "PATCH", "HEAD"):
                answer = await ann.request(method, f"/v1/media/x?{query}")
                assert answer.status_code == 400
        for query in ("pageSize=1", "filter=title%3D%22msk_%22", "?"):
            assert IN_URL not in (await ann.get(f"/v1/media?{query}")).text

        async def log() -> str:
            text = to.log.read_text()
            return text if text.count("\n") >= len(queries) * (len(paths) + 4) else ""

        logged = await eventually_async(log)
        for secret in (KEY, KEY[4:], jwt, "hush"):
            assert secret not in logged
