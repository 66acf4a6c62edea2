"""No request over REST ends as an error of the server: it is served, or refused with a reason."""

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from google.api import annotations_pb2
from mediaservice.v1.error_reason_pb2 import ErrorReason

from contract.surface import route
from media_service.ids import new_id
from tests.support.any_input import (
    MARK,
    MESSAGE,
    NOT_UTF8,
    ROUNDS,
    SEED,
    STRING,
    generator,
    leaves,
    methods,
    values,
)
from tests.support.media.small_files import jpeg
from tests.support.rest import client_of, create, store
from tests.support.service import Service

FAULTS = {"INTERNAL", "UPSTREAM_UNAVAILABLE"}
REASONS = set(ErrorReason.Value.keys()) - FAULTS
HTTP_BODY = "google.api.HttpBody"
# JSON that is not of the type of a field, and numbers that no field holds.
ODD_JSON = [
    "null",
    "[]",
    "{}",
    "[[[]]]",
    "true",
    '"\\ud800"',
    '"\\u0000"',
    "1e400",
    "-0",
    "1" * 400,
]
MAX_URL = 12_000
# Words of Envoy's transcoder.
INTERNALS = (b"Proto field", b"invalid value", b" for type ")


@dataclass(frozen=True)
class Request:
    verb: str
    url: str
    body: bytes
    what: str


@dataclass(frozen=True)
class Method:
    """A method at one of its paths. `body`: the field that the body holds; "*": all fields."""

    message: Any
    verb: str
    path: str
    body: str

    def placed(self, name: str) -> str:
        """Where a field is: in the path, the body or the query."""
        if "{" + name in self.path:
            return "path"
        inside = self.body == "*" or name.split(".", maxsplit=1)[0] == self.body
        return "body" if inside else "query"

    def request(self, name: str, text: str, known: dict[str, Any], what: str) -> Request:
        """A request with the field of this name. `text`: its value, encoded for its place."""
        url, body = self.path.replace("=**", ""), "{}"
        place = self.placed(name)
        if place == "path":
            url = url.replace("{" + name + "}", text)
        elif place == "query":
            url += f"?{name}={text}"
        else:
            path = name.split(".") if self.body == "*" else name.split(".")[1:]
            body = nested_json(path, text)
        for other, value in known.items():
            url = url.replace("{" + other + "}", str(value)).replace("." + other + "}", f"{value}")
        url = url.replace("{media" + str(known["media_id"]), str(known["media_id"]))
        return Request(self.verb, url, body.encode() if self.body else b"", what)


def nested_json(path: list[str], value: str) -> str:
    if not path:
        return value
    return f"{{{json.dumps(path[0])}: {nested_json(path[1:], value)}}}"


def rest_methods() -> Iterator[Method]:
    for _, method in methods():
        rule = method.GetOptions().Extensions[annotations_pb2.http]
        for binding in (rule, *rule.additional_bindings):
            verb, _, path = route(binding).partition(" ")
            if path and verb != "HEAD":
                yield Method(method.input_type, verb, path, binding.body)


def requests(known: dict[str, Any]) -> Iterator[Request]:
    rng = generator()
    for method in rest_methods():
        for path in leaves(method.message):
            name = ".".join(field.name for field in path)
            if path[0].type == MESSAGE and path[0].message_type.full_name == HTTP_BODY:
                continue
            if any(field.is_repeated and field.type == MESSAGE for field in path[:-1]):
                continue  # as gRPC's
            for value in rng.choices(values(path[-1]), k=ROUNDS):
                yield encoded(method, name, value, known)
            if method.placed(name) == "body":
                odd = rng.choice(ODD_JSON)
                yield method.request(name, odd, known, f"{name} = {odd[:40]}")
            elif path[-1].type == STRING:
                wrong = rng.choice(["%ff", "%00", "%ed%a0%80", "%c0%80", "a%fe%ff"])
                yield method.request(name, wrong, known, f"{name} = {wrong}")


def encoded(method: Method, name: str, value: Any, known: dict[str, Any]) -> Request:
    what = f"{name} = {str(value)[:40]!r}"
    if method.placed(name) == "body":
        text = json.dumps(value if not isinstance(value, bytes) else value.decode("latin-1"))
        return method.request(name, text, known, what)
    raw = value if isinstance(value, bytes) else str(value).encode()
    raw = raw.replace(MARK.encode(), NOT_UTF8)
    return method.request(name, quote(raw[: MAX_URL // 3], safe=""), known, what)


def send(connection: http.client.HTTPConnection, request: Request, token: str) -> tuple[int, bytes]:
    headers = {"authorization": token, "content-type": "application/json"}
    connection.request(request.verb, request.url, request.body, headers)
    answer = connection.getresponse()
    if answer.getheader("content-type") == "text/event-stream":
        connection.close()  # it has no end
        return answer.status, b""
    return answer.status, answer.read()


def problem(status: int, body: bytes) -> str:
    """What is wrong with an answer; empty if nothing is."""
    if status < 400:
        return ""
    if any(word in body for word in INTERNALS):
        return f"{status} quotes the transcoder: {body[:300]!r}"
    try:
        details = json.loads(body)["details"]
        reasons = [detail["reason"] for detail in details if "reason" in detail]
    except (ValueError, KeyError):
        return f"{status} without details: {body[:300]!r}"
    return "" if reasons and set(reasons) <= REASONS else f"{status} {reasons} {body[:300]!r}"


def test_no_request_is_an_error_of_the_server(service: Service) -> None:
    user = f"user-{new_id()}"
    with client_of(service, user) as client:
        media = store(client, jpeg())["mediaId"]
        upload = create(client, filename="a.jpg")
        job = client.post(f"/v1/media/{media}:process", json={"ops": "flip"}).json()["jobId"]
        project = client.post("/v1/projects", json={"displayName": "a"}).json()["projectId"]
        account = client.post("/v1/serviceAccounts", json={"displayName": "a"}).json()[
            "serviceAccountId"
        ]
        key = client.post(f"/v1/serviceAccounts/{account}/apiKeys", json={}).json()["apiKey"]
        shared = {"targets": [f"media:{media}"], "mode": "VIEW"}
        link = client.post("/v1/shareLinks", json=shared).json()["shareLink"]
    known = {"media_id": media, "upload_id": upload, "job_id": job, "part_number": 1}
    known |= {"project_id": project, "service_account_id": account}
    known |= {"api_key_id": key["apiKeyId"], "share_link_id": link["shareLinkId"]}
    known |= {"rendition": "small", "path": "a", "token": "a.b.c"}
    address = urlsplit(service.base_url)
    assert address.hostname
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    token = service.bearer(user)["authorization"]
    problems = []
    for request in requests(known):
        found = problem(*send(connection, request, token))
        if found:
            problems.append(f"{request.verb} {request.url[:200]} {request.what}: {found}")
    connection.close()
    assert not problems, "\n".join([f"SOAK_SEED={SEED}", *problems])
