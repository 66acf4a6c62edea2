"""No message of the contract takes a key that it does not have, at whatever depth it is."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from media_service.ids import new_id
from tests.e2e.test_any_request import rest_methods
from tests.support.any_input import Path, is_map

ANY_KEYS = {"google.protobuf.Any", "google.protobuf.Struct", "google.api.HttpBody"}


def messages(message: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of the message and of all messages in it."""
    yield path
    for field in message.fields:
        held = field.message_type
        recursive = held in {message, *(outer.message_type for outer in path)}
        if held and not recursive and not is_map(field) and held.full_name not in ANY_KEYS:
            yield from messages(held, (*path, field))


def body_with(path: Path, key: str) -> dict[str, Any]:
    body: Any = {key: 1}
    for field in reversed(path):
        body = {field.json_name: [body] if field.is_repeated else body}
    return dict(body)


def test_every_message_refuses_a_key_that_it_does_not_have(alice: httpx.Client) -> None:
    tried, problems = 0, []
    for method in rest_methods():
        field = method.message.fields_by_name.get(method.body)
        root = field.message_type if field else method.message
        if root.full_name in ANY_KEYS or method.verb not in {"POST", "PATCH", "DELETE"}:
            continue
        url = re.sub(r"\{[^}]*\}", new_id(), method.path)
        for path in messages(root):
            answer = alice.request(method.verb, url, json=body_with(path, "unheard_of"))
            tried += 1
            if answer.status_code != 400 or "unknown field" not in answer.text:
                problems.append(f"{method.verb} {url} {[f.name for f in path]}: {answer.text}")
    assert not problems
    assert tried > 100


@pytest.mark.parametrize("kind", ["application/grpc-web", "application/grpcfoo"])
def test_a_body_that_the_transcoder_does_not_take_for_grpc_is_checked(
    alice: httpx.Client, kind: str
) -> None:
    answer = alice.post("/v1/uploads", content=b'{"x": 1}', headers={"Content-Type": kind})
    assert answer.status_code == 415
