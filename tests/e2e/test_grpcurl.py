"""An operator with nothing but grpcurl: reflection tells it all."""

import base64
import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import Service
from tests.support.media.small_files import jpeg
from tests.support.tools import require_tool

Grpcurl = Callable[..., str]
API = "mediaservice.v1"


@pytest.fixture
def grpcurl(service: Service) -> Grpcurl:
    """Runs grpcurl as a user; the answer it prints."""
    program = require_tool("grpcurl")

    def run(*arguments: str, user: str = "olga", stdin: str = "") -> str:
        done = subprocess.run(
            [
                *(program, "-plaintext", "-H", f"authorization: Bearer {service.token(user)}"),
                *arguments,
            ],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.stdout if done.returncode == 0 else done.stderr

    return run


def test_reflection_lists_the_services_and_their_methods(
    service: Service, grpcurl: Grpcurl
) -> None:
    listed = set(grpcurl(service.grpc_address, "list").split())
    own = {f"{API}.{name}Service" for name in ("Upload", "Download", "Media")}
    assert own | {"grpc.health.v1.Health"} <= listed
    methods = grpcurl(service.grpc_address, "list", f"{API}.MediaService").split()
    assert f"{API}.MediaService.ListMedia" in methods
    assert "page_token" in grpcurl(service.grpc_address, "describe", f"{API}.ListMediaRequest")


def test_a_file_is_stored_found_and_read(service: Service, grpcurl: Grpcurl) -> None:
    data = jpeg()
    half = len(data) // 2

    def call(method: str, *messages: dict[str, Any]) -> list[dict[str, Any]]:
        text = "\n".join(json.dumps(message) for message in messages)
        answer = grpcurl("-d", "@", service.grpc_address, f"{API}.{method}", stdin=text)
        return many(answer)

    (upload,) = call(
        "UploadService/WriteUpload",
        {"spec": {"filename": "a.jpg"}, "data": base64.b64encode(data[:half]).decode()},
        {"offset": half, "data": base64.b64encode(data[half:]).decode(), "finish": True},
    )
    assert upload["state"] == "FINISHED"
    media = upload["media"]["mediaId"]
    (found,) = call("MediaService/GetMedia", {"media_id": media})
    assert (found["filename"], found["contentType"]) == ("a.jpg", "image/jpeg")
    (listed,) = call("MediaService/ListMedia", {})
    assert media in [one["mediaId"] for one in listed["media"]]
    pieces = call("DownloadService/Download", {"media_id": media})
    assert b"".join(base64.b64decode(piece.get("data", "")) for piece in pieces) == data


def many(text: str) -> list[dict[str, Any]]:
    """The JSON objects that stand one after another in a text."""
    decoder, found = json.JSONDecoder(), []
    while text := text.strip():
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


def test_an_error_comes_with_its_reason(service: Service, grpcurl: Grpcurl) -> None:
    request = json.dumps({"media_id": "no-id"})
    answer = grpcurl("-d", request, service.grpc_address, f"{API}.MediaService/GetMedia")
    assert "Code: InvalidArgument" in answer
    assert "INVALID_FIELD" in answer


def test_health_is_told_to_anyone(service: Service, grpcurl: Grpcurl) -> None:
    answer = grpcurl(service.grpc_address, "grpc.health.v1.Health/Check")
    assert json.loads(answer) == {"status": "SERVING"}
