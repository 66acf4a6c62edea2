"""Errors of the server over REST name fields as JSON does, and say the actual sizes."""

from typing import Any

import httpx
import pytest
from mediaservice.v1 import media_service_pb2

from media_service.errors import InvalidArgument, Reason
from media_service.ids import new_id
from media_service.rpc.rest_names import RestNames
from tests.support.rest import create, patch, refusal

UPLOADS, BATCH = "/v1/uploads", "/v1/uploads:batchCreate"
FOCAL = {"operations": [{"resize": {"width": 9, "focalX": 0.5}}]}
BOTH_SIZES = {"sizeBytes": 5, "maxSizeBytes": 3}
# (path, body, field, what the error says)
BODIES: list[tuple[str, dict[str, Any], str, str]] = [
    (UPLOADS, {"title": "x" * 201}, "title", "at most 200 characters, but has 201"),
    (UPLOADS, {"filename": "ü" * 128}, "filename", "at most 255 bytes, but has 256"),
    (UPLOADS, {"tags": ["a"] * 101}, "tags", "no more than 100 item(s), but has 101"),
    (UPLOADS, {"sizeBytes": -1}, "sizeBytes", "greater than or equal to 0, but is -1"),
    (UPLOADS, BOTH_SIZES, "spec", "sizeBytes must not exceed maxSizeBytes"),
    (BATCH, {"requests": [{"spec": {}, "requestId": "a"}]}, "requests[0].requestId", "UUID"),
    ("/v1/media/ID:process", FOCAL, "operations[0].resize", "both focalX and focalY"),
    # The text form of operations has names of its own.
    ("/v1/media/ID:process", {"ops": "resize:9:focal_x=1"}, "ops[0].resize", "focal_x and focal_y"),
    (
        "/v1/media/ID:process",
        {"ops": "negate" + ",negate" * 32},
        "ops",
        "at most 32 operations, but has 33",
    ),
    ("/v1/media/ID:process", {"ops": "blur", "renditionName": "A"}, "renditionName", "pattern"),
]


def violation(answer: httpx.Response) -> tuple[str, str]:
    assert answer.status_code == 400, answer.text
    (request,) = (d for d in answer.json()["details"] if "fieldViolations" in d)
    return request["fieldViolations"][0]["field"], request["fieldViolations"][0]["description"]


@pytest.mark.parametrize(("path", "body", "field", "says"), BODIES, ids=range(len(BODIES)))
def test_errors_name_fields_as_the_body_does(
    alice: httpx.Client, path: str, body: dict[str, Any], field: str, says: str
) -> None:
    answer = alice.post(path.replace("ID", new_id()), json=body)
    name, problem = violation(answer)
    assert name == field
    assert says in problem
    assert says in answer.json()["message"]


def test_errors_name_parameters_as_the_query_does(alice: httpx.Client) -> None:
    answer = alice.get("/v1/media?orderBy=size")
    assert violation(answer)[0] == "orderBy"
    answer = alice.get("/v1/media?pageToken=a")
    assert refusal(answer) == (400, "INVALID_PAGE_TOKEN")
    assert "nextPageToken" in answer.json()["message"]


def test_errors_without_a_field_name_fields_as_json_does(alice: httpx.Client) -> None:
    upload = create(alice, sizeBytes=3)
    answer = patch(alice, upload, 0, bytes(9))
    assert refusal(answer) == (413, "SIZE_EXCEEDED")
    assert "its sizeBytes, 3," in answer.json()["message"]


def test_errors_of_a_batch_name_fields_as_its_requests_do(alice: httpx.Client) -> None:
    requests = [{"mediaId": new_id(), **FOCAL}]
    (result,) = alice.post("/v1/media:batchProcess", json={"requests": requests}).json()["results"]
    assert "both focalX and focalY" in result["error"]["message"]


def test_a_name_with_a_backslash_is_refused_like_any_other(alice: httpx.Client) -> None:
    answer = alice.patch(f"/v1/media/{new_id()}", params={"updateMask": "foo\\q"}, json={})
    assert answer.status_code == 400
    assert "INVALID_UPDATE_MASK" in answer.text or "INVALID_REQUEST" in answer.text


def test_an_error_lists_a_limited_number_of_names() -> None:
    method = media_service_pb2.DESCRIPTOR.services_by_name["MediaService"].methods_by_name[
        "UpdateMedia"
    ]
    names = RestNames.of(method.input_type, method.output_type, "media")
    fields = tuple((f"update_mask.a\\q{n}", "is unknown") for n in range(1000))
    error = InvalidArgument(Reason.INVALID_UPDATE_MASK, "x" * 100_000, fields=fields)
    shown = names.in_error(error)
    assert isinstance(shown, InvalidArgument)
    assert len(shown.fields) == 20
    assert shown.fields[0][0] == "updateMask.a\\q0"
    assert len(shown.message) == 1024
