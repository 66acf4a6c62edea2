"""Rate limits over REST and through Envoy, which has one of its own for each address."""

import grpc
import httpx
from mediaservice.v1 import media_service_pb2, media_service_pb2_grpc

from tests.support.rest import refusal
from tests.support.rpc.front import Open
from tests.support.rpc.server import refused, unknown_id
from tests.support.tools import NO_TLS

ORIGIN = "https://app.example"
LIMITED = (429, "RATE_LIMITED")


def exposed(answer: httpx.Response) -> set[str]:
    return set(answer.headers["access-control-expose-headers"].split(","))


async def test_a_caller_beyond_its_rate_gets_429_with_the_time_to_wait(front: Open) -> None:
    async with (
        front(rate_caller="3/h", rate_address="1/h", cors_origins=ORIGIN) as to,
        to.client("ann", origin=ORIGIN) as ann,
    ):
        found = await ann.get("/v1/media")  # costs 2
        assert found.status_code == 200
        answer = await ann.get("/v1/media")
        assert refusal(answer) == LIMITED
        assert answer.json()["code"] == 8
        wait = int(answer.headers["retry-after"])
        assert 1100 < wait <= 1200
        assert answer.headers["ratelimit-policy"] == '"caller";q=3;w=3600'
        assert answer.headers["ratelimit"] == f'"caller";r=1;t={wait}'
        assert {"retry-after", "ratelimit", "ratelimit-policy"} <= exposed(answer)
        head = await ann.head("/v1/media")
        assert (head.status_code, head.content) == (429, b"")
        assert head.headers["ratelimit"].startswith('"caller";r=1;')
        content = await ann.get(f"/v1/media/{unknown_id()}/content")
        assert refusal(content) == (404, "MEDIA_NOT_FOUND")  # costs the last unit
        stream = await ann.get(f"/v1/media/{unknown_id()}/content")
        assert refusal(stream) == LIMITED
        upload = await ann.post("/v1/media:upload", content=b"bytes")
        assert refusal(upload) == LIMITED
        # The address of all clients is the same, and has paid for a new token.
        async with to.client("bob", origin=ORIGIN) as bob:
            answer = await bob.get("/v1/media")
        assert refusal(answer) == LIMITED
        assert answer.json()["details"][0]["metadata"]["limit"] == "address"


async def test_the_address_is_what_envoy_says_and_not_what_clients_say(front: Open) -> None:
    async with (
        front(rate_address="1/h", trusted_proxies="1", cors_origins=ORIGIN) as to,
        httpx.AsyncClient(base_url=to.url, verify=NO_TLS) as http,
    ):

        async def outcome(proxies: str) -> int:
            headers = {"x-forwarded-for": proxies, "x-client-address": proxies}
            return (await http.get("/v1/operations", headers=headers)).status_code

        assert [await outcome("192.0.2.1") for _ in range(2)] == [200, 429]
        assert await outcome("192.0.2.9, 192.0.2.1") == 429
        assert await outcome("192.0.2.1, 192.0.2.9") == 200
        upload = await http.post(
            "/v1/media:upload", content=b"bytes", headers={"x-forwarded-for": "192.0.2.9"}
        )
        assert refusal(upload) == LIMITED


async def test_envoy_limits_each_address_and_answers_as_the_server_does(front: Open) -> None:
    async with (
        front(rate_gateway="2/h", trusted_proxies="1", cors_origins=ORIGIN) as to,
        to.client("ann", origin=ORIGIN) as ann,
    ):

        async def get(address: str, method: str = "GET") -> httpx.Response:
            return await ann.request(method, "/v1/media", headers={"x-forwarded-for": address})

        found = [await get("192.0.2.1") for _ in range(3)]
        assert [answer.status_code for answer in found] == [200, 200, 429]
        answer = found[-1]
        assert refusal(answer) == LIMITED
        assert (answer.headers["retry-after"], answer.json()["code"]) == ("1800", 8)
        assert answer.headers["ratelimit-policy"] == '"gateway";q=2;w=3600'
        assert answer.headers["ratelimit"] == '"gateway";r=0;t=1800'
        assert {"retry-after", "ratelimit", "ratelimit-policy"} <= exposed(answer)
        assert not [name for name in answer.headers if name.startswith(("grpc-", "x-envoy-"))]
        head = await get("192.0.2.1", "HEAD")
        assert (head.status_code, head.content) == (429, b"")
        assert (await get("192.0.2.2")).status_code == 200
        addresses = [f"2001:db8::{number}" for number in (1, 2, 3)]
        assert [(await get(each)).status_code for each in addresses] == [200, 200, 429]

        preflight = {
            "access-control-request-method": "GET",
            "x-forwarded-for": "192.0.2.1",
        }
        assert (await ann.options("/v1/media", headers=preflight)).status_code == 200
        async with grpc.aio.insecure_channel(to.url.removeprefix("http://")) as channel:
            stub = media_service_pb2_grpc.MediaServiceStub(channel)
            request = media_service_pb2.ListMediaRequest()
            headers = (("x-forwarded-for", "192.0.2.1"),)
            limited = await refused(stub.ListMedia(request, metadata=headers))
        assert limited.code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert limited.reason == "RATE_LIMITED"
        assert limited.message == answer.json()["message"]
        assert limited.metadata == answer.json()["details"][0]["metadata"]
        assert limited.headers["retry-after"] == "1800"
