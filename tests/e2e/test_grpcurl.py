"""An operator with only grpcurl: reflection describes the whole API."""

import base64
import json
from typing import Any

from tests.support.grpcurl import API, Grpcurl, many
from tests.support.media.small_files import jpeg
from tests.support.service import Service


def test_reflection_lists_the_services_and_their_methods(
    service: Service, grpcurl: Grpcurl
) -> None:
    listed = set(grpcurl(service.grpc_address, "list").split())
    own = {f"{API}.{name}Service" for name in ("Upload", "Download", "Media")}
    assert own | {"grpc.health.v1.Health"} <= listed
    methods = grpcurl(service.grpc_address, "list", f"{API}.MediaService").split()
    assert f"{API}.MediaService.ListMedia" in methods
    assert "page_token" in grpcurl(service.grpc_address, "describe", f"{API}.ListMediaRequest")


def test_grpcurl_stores_lists_and_reads_a_file(service: Service, grpcurl: Grpcurl) -> None:
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


def test_grpcurl_shows_the_reason_of_an_error(service: Service, grpcurl: Grpcurl) -> None:
    request = json.dumps({"media_id": "no-id"})
    answer = grpcurl("-d", request, service.grpc_address, f"{API}.MediaService/GetMedia")
    assert "Code: InvalidArgument" in answer
    assert "INVALID_FIELD" in answer


def test_health_needs_no_token(service: Service, grpcurl: Grpcurl) -> None:
    answer = grpcurl(service.grpc_address, "grpc.health.v1.Health/Check")
    assert json.loads(answer) == {"status": "SERVING"}
