"""Uploads over REST, through Envoy: CreateUpload, AppendUpload, UploadMedia, and others."""

import hashlib
import json
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from media_service.ids import new_id
from tests.support.media.small_files import jpeg, png, video_bytes
from tests.support.rest import (
    NO_MEDIA,
    client_of,
    content,
    create,
    digest,
    media_of,
    offset_of,
    open_request,
    patch,
    reason_of,
    refusal,
    resume,
    sha256,
    store,
    stored_files,
)
from tests.support.rest_events import events
from tests.support.service import Service, environment, running
from tests.support.tools import eventually, require_tool

MIB = 1 << 20


@pytest.fixture
def bystander(service: Service) -> Iterator[httpx.Client]:
    """A user without media."""
    with client_of(service, f"user-{new_id()}") as client:
        yield client


# Sessions


def test_an_upload_sent_in_several_requests_becomes_a_media(alice: httpx.Client) -> None:
    data = video_bytes(3 * MIB + 17)
    upload = create(alice, filename="video.mp4", contentType="video/mp4", sizeBytes=len(data))
    for start in (0, MIB, 2 * MIB):
        answer = patch(alice, upload, start, data[start : start + MIB])
        assert answer.status_code == 200
        assert answer.headers["upload-offset"] == str(start + MIB)
        assert answer.headers["upload-complete"] == "?0"
        assert answer.json()["committedSizeBytes"] == str(start + MIB)
    answer = patch(alice, upload, 3 * MIB, data[3 * MIB :], complete=True)
    assert answer.headers["upload-complete"] == "?1"
    assert answer.json()["state"] == "FINISHED"
    media = answer.json()["media"]
    assert (media["mediaId"], media["filename"]) == (media_of(alice, upload), "video.mp4")
    assert media["mediaId"] != upload
    assert (media["contentType"], media["sizeBytes"]) == ("video/mp4", str(len(data)))
    assert content(alice, media_of(alice, upload)) == data


def test_head_returns_the_offset_of_an_upload(alice: httpx.Client) -> None:
    upload = create(alice)
    assert offset_of(alice, upload) == 0
    patch(alice, upload, 0, jpeg()[:100])
    answer = alice.head(f"/v1/uploads/{upload}/content")
    assert (answer.headers["upload-offset"], answer.headers["upload-complete"]) == ("100", "?0")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("offset", [0, 99, 101])
def test_a_wrong_offset_is_refused_with_the_expected_offset(
    alice: httpx.Client, offset: int
) -> None:
    upload = create(alice)
    patch(alice, upload, 0, jpeg()[:100])
    answer = patch(alice, upload, offset, b"more")
    assert refusal(answer) == (409, "OFFSET_MISMATCH")
    assert answer.headers["upload-offset"] == "100"
    assert offset_of(alice, upload) == 100


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"upload-offset": "x"},
        {"upload-offset": "-1"},
        {"upload-offset": ""},
        {"upload-offset": "0", "upload-complete": "yes"},
        {"upload-offset": "0", "content-digest": "sha-256=:AAAA:"},
        {"upload-offset": "0", "content-digest": "md5=:AAAA:"},
        {"upload-offset": "0", "repr-digest": "sha-256=nothing"},
    ],
)
def test_an_error_names_a_missing_or_malformed_header(
    alice: httpx.Client, headers: dict[str, str]
) -> None:
    upload = create(alice)
    answer = alice.patch(f"/v1/uploads/{upload}/content", content=jpeg(), headers=headers)
    assert refusal(answer) == (400, "INVALID_HEADER")
    assert offset_of(alice, upload) == 0


def test_a_body_with_a_matching_digest_is_kept(alice: httpx.Client) -> None:
    data = jpeg()
    upload = create(alice)
    answer = patch(alice, upload, 0, data[:200], content_digest=digest(data[:200]))
    assert answer.headers["upload-offset"] == "200"
    answer = patch(alice, upload, 200, data[200:], complete=True, content_digest=digest(data[200:]))
    assert answer.json()["state"] == "FINISHED"
    assert content(alice, media_of(alice, upload)) == data


@pytest.mark.parametrize("size", [100, 3 * MIB])
def test_a_body_with_a_wrong_digest_is_not_kept(alice: httpx.Client, size: int) -> None:
    upload, data = create(alice), video_bytes(200 + size)
    patch(alice, upload, 0, data[:200])
    answer = patch(alice, upload, 200, data[200:], content_digest=digest(b"other bytes"))
    assert refusal(answer) == (400, "CHECKSUM_MISMATCH")
    assert offset_of(alice, upload) == 200
    answer = patch(alice, upload, 200, data[200:], complete=True)
    assert answer.json()["state"] == "FINISHED"
    assert content(alice, media_of(alice, upload)) == data


def test_the_digest_of_the_whole_file_is_checked(alice: httpx.Client) -> None:
    data = jpeg()
    upload = create(alice)
    answer = patch(alice, upload, 0, data, complete=True, repr_digest=digest(data))
    assert answer.json()["state"] == "FINISHED"
    upload = create(alice)
    answer = patch(alice, upload, 0, data, complete=True, repr_digest=digest(b"other"))
    assert refusal(answer) == (400, "CHECKSUM_MISMATCH")
    ended = alice.get(f"/v1/uploads/{upload}").json()
    assert ended["state"] == "FAILED"
    assert refusal(alice.get(f"/v1/media/{media_of(alice, upload)}"))[0] == 404


def test_a_whole_file_digest_after_several_requests_is_checked_by_reading_back(
    alice: httpx.Client,
) -> None:
    data = jpeg()
    for declared, state in ((data, "FINISHED"), (b"other", "FAILED")):
        upload = create(alice)
        patch(alice, upload, 0, data[:100])
        answer = patch(alice, upload, 100, data[100:], complete=True, repr_digest=digest(declared))
        assert answer.json()["state"] == "VERIFYING"

        def ended(upload: str = upload) -> Any:
            seen = alice.get(f"/v1/uploads/{upload}").json()["state"]
            return seen if seen != "VERIFYING" else None

        assert eventually(ended) == state


def test_an_upload_can_be_completed_by_a_separate_call_and_repeated(alice: httpx.Client) -> None:
    data = jpeg()
    upload = create(alice)
    patch(alice, upload, 0, data)
    first = alice.post(f"/v1/uploads/{upload}:complete", json={})
    assert first.json()["state"] == "FINISHED"
    again = alice.post(f"/v1/uploads/{upload}:complete")
    assert again.status_code == 200
    assert again.json()["media"]["mediaId"] == media_of(alice, upload)


def test_an_upload_with_missing_bytes_cannot_be_completed(alice: httpx.Client) -> None:
    data = jpeg()
    upload = create(alice, sizeBytes=len(data))
    patch(alice, upload, 0, data[:-1])
    answer = alice.post(f"/v1/uploads/{upload}:complete", json={})
    assert refusal(answer) == (409, "UPLOAD_INCOMPLETE")
    answer = patch(alice, upload, len(data) - 1, data[-1:], complete=True)
    assert answer.json()["state"] == "FINISHED"


def test_an_aborted_upload_accepts_no_bytes_and_leaves_none(
    alice: httpx.Client, service: Service
) -> None:
    before = stored_files(service)
    upload = create(alice)
    patch(alice, upload, 0, video_bytes(MIB))
    assert stored_files(service) - before
    assert alice.delete(f"/v1/uploads/{upload}").json()["state"] == "ABORTED"
    assert alice.delete(f"/v1/uploads/{upload}").json()["state"] == "ABORTED"
    assert refusal(patch(alice, upload, MIB, b"more")) == (409, "UPLOAD_NOT_ACTIVE")
    eventually(lambda: not stored_files(service) - before)


def test_a_finished_upload_cannot_be_aborted(alice: httpx.Client) -> None:
    upload = create(alice)
    patch(alice, upload, 0, jpeg(), complete=True)
    answer = alice.delete(f"/v1/uploads/{upload}")
    assert refusal(answer) == (409, "UPLOAD_NOT_ACTIVE")


def test_an_idempotency_key_creates_one_upload(alice: httpx.Client) -> None:
    key = new_id()
    ways: list[dict[str, Any]] = [
        {"params": {"requestId": key}},
        {"headers": {"Idempotency-Key": key}},
        {"headers": {"Idempotency-Key": key}, "params": {"requestId": key}},
    ]
    for options in ways:
        answers = [alice.post("/v1/uploads", json={"filename": "a"}, **options) for _ in "12"]
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["uploadId"] for answer in answers}) == 1
        answer = alice.post("/v1/uploads", json={"filename": "b"}, **options)
        assert refusal(answer) == (409, "IDEMPOTENCY_CONFLICT")
    for wrong in ("", "x" * 256, "\N{EURO SIGN}"):
        headers = [(b"Idempotency-Key", wrong.encode())]
        assert refusal(alice.post("/v1/uploads", json={}, headers=headers))[0] == 400


def test_an_idempotency_key_stores_a_file_once(alice: httpx.Client) -> None:
    headers = {"Idempotency-Key": f"my file, {new_id()}"}
    url = "/v1/media:upload?filename=a.jpg"
    first = alice.post(url, content=jpeg(), headers=headers)
    again = alice.post(url, content=jpeg(), headers=headers)
    assert first.status_code == again.status_code == 201
    assert first.json()["mediaId"] == again.json()["mediaId"]
    # The same with another form boundary, and in a request of unknown length.
    form = {"Idempotency-Key": f"my form, {new_id()}"}
    stored = [
        alice.post("/v1/media:upload", files={"file": ("a.jpg", jpeg())}, headers=form)
        for _ in "12"
    ]
    assert len({answer.json()["mediaId"] for answer in stored}) == 1
    again = alice.post(url, content=iter([jpeg()[:100], jpeg()[100:]]), headers=headers)
    assert again.json()["mediaId"] == first.json()["mediaId"]
    answer = alice.post(url, content=png(), headers=headers)
    assert refusal(answer) == (409, "IDEMPOTENCY_CONFLICT")


def test_an_upload_spec_can_be_sent_as_query_parameters(alice: httpx.Client) -> None:
    answer = alice.post("/v1/media:upload?spec.filename=a.jpg", content=jpeg())
    assert answer.json()["filename"] == "a.jpg"
    answer = alice.post("/v1/media:upload?spec.filename=a.jpg&filename=b.jpg", content=jpeg())
    assert refusal(answer) == (400, "INVALID_FIELD")
    answer = alice.post("/v1/media:upload?spec.content_type=audio/mpeg", content=jpeg())
    assert refusal(answer) == (415, "TYPE_MISMATCH")


STATED: dict[str, Any] = {
    "title": "Am Strand & Meer",
    "description": "Sand,\nsea",
    "tags": ["sea", "größe"],
    "labels": {"album": "2026", "app/v1": ""},
    "visibility": "PUBLIC",
    "captureTime": "2026-05-06T07:08:09.123456Z",
    "expireTime": "2100-01-01T00:00:00Z",
}


@pytest.fixture
def wanted(alice: httpx.Client) -> dict[str, Any]:
    """The attributes of a file in a project."""
    project = alice.post("/v1/projects", json={"displayName": "Holiday"}).raise_for_status().json()
    return {**STATED, "projectId": project["projectId"]}


def stated(media: dict[str, Any]) -> dict[str, Any]:
    return {name: media[name] for name in (*STATED, "projectId")}


def test_query_parameters_set_the_attributes_of_a_file(
    alice: httpx.Client, wanted: dict[str, Any]
) -> None:
    query = {f"spec.{snake(name)}": value for name, value in wanted.items() if name != "labels"}
    query |= {"spec.max_size_bytes": 1 << 20, "spec.owner.type": "user", "spec.owner.id": "alice"}
    answer = alice.post("/v1/media:upload", params=query, content=jpeg())
    assert answer.status_code == 201, answer.text
    assert stated(answer.json()) == {**wanted, "labels": {}}
    answer = alice.post("/v1/media:upload", params={"spec.max_size_bytes": 9}, content=jpeg())
    assert refusal(answer) == (413, "SIZE_EXCEEDED")
    answer = alice.post("/v1/media:upload", params={"spec.title": "x" * 201}, content=jpeg())
    assert refusal(answer) == (400, "INVALID_FIELD")
    other = {"spec.owner.type": "user", "spec.owner.id": "bob"}
    answer = alice.post("/v1/media:upload", params=other, content=jpeg())
    assert refusal(answer) == (403, "OWNER_NOT_ALLOWED")


def test_labels_in_a_query_are_refused_rather_than_ignored(alice: httpx.Client) -> None:
    """Envoy cannot transcode maps in a query."""
    for name in ("spec.labels[album]", "spec.labels.album", "spec.labels"):
        answer = alice.post("/v1/media:upload", params={name: "2026"}, content=jpeg())
        assert answer.status_code == 400, name


def test_form_fields_set_the_attributes_of_a_file(
    alice: httpx.Client, wanted: dict[str, Any]
) -> None:
    fields = {snake(name): value for name, value in wanted.items() if name != "labels"}
    fields |= {f"labels.{key}": value for key, value in wanted["labels"].items()}
    fields["max_size_bytes"] = str(1 << 20)
    file = {"file": ("a.jpg", jpeg(), "image/jpeg")}
    answer = alice.post("/v1/media:upload", data=fields, files=file)
    assert answer.status_code == 201, answer.text
    assert stated(answer.json()) == wanted
    answer = alice.post("/v1/media:upload?spec.title=Other", data=fields, files=file)
    assert answer.json()["title"] == "Other"
    for name, value in (
        *(("title", "x" * 201), ("labels.A", "x"), ("project_id", "No Project")),
        *(("visibility", "SECRET"), ("capture_time", "yesterday"), ("max_size_bytes", "0")),
    ):
        answer = alice.post("/v1/media:upload", data={name: value}, files=file)
        assert refusal(answer) == (400, "INVALID_FIELD"), name
    answer = alice.post("/v1/media:upload", data={"max_size_bytes": "9"}, files=file)
    assert refusal(answer) == (413, "SIZE_EXCEEDED")


def test_form_fields_may_have_their_json_names(alice: httpx.Client, wanted: dict[str, Any]) -> None:
    fields = {name: value for name, value in wanted.items() if name != "labels"}
    file = {"file": ("a.jpg", jpeg(), "image/jpeg")}
    answer = alice.post("/v1/media:upload", data={**fields, "name": "of Uppy"}, files=file)
    assert answer.status_code == 201, answer.text
    assert stated(answer.json()) == {**wanted, "labels": {}}
    answer = alice.post("/v1/media:upload", data={"maxSizeBytes": "9"}, files=file)
    assert refusal(answer) == (413, "SIZE_EXCEEDED")
    for twice in ({"project_id": "a", "projectId": "b"}, {"sizeBytes": "9"}):
        answer = alice.post("/v1/media:upload", data=twice, files=file)
        assert refusal(answer) == (400, "INVALID_MULTIPART"), twice


def test_a_form_with_other_fields_conflicts_with_its_idempotency_key(alice: httpx.Client) -> None:
    headers = {"idempotency-key": new_id()}
    file = {"file": ("a.jpg", jpeg(), "image/jpeg")}

    def post(title: str) -> httpx.Response:
        return alice.post("/v1/media:upload", data={"title": title}, files=file, headers=headers)

    first = post("Beach")
    assert post("Beach").json()["mediaId"] == first.json()["mediaId"]
    assert refusal(post("Sea")) == (409, "IDEMPOTENCY_CONFLICT")


def test_an_upload_shows_its_attributes(alice: httpx.Client, wanted: dict[str, Any]) -> None:
    answer = alice.post("/v1/uploads", json=wanted)
    assert answer.status_code == 201, answer.text
    assert stated(answer.json()["spec"]) == wanted
    assert answer.json()["owner"] == {"type": "user", "id": "alice", "organizationId": ""}
    upload = answer.json()["uploadId"]
    for query in (
        {"projectId": wanted["projectId"]},
        {"owner.type": "user", "owner.id": "alice", "projectId": wanted["projectId"]},
    ):
        found = alice.get("/v1/uploads", params=query).raise_for_status().json()["uploads"]
        assert upload in [one["uploadId"] for one in found]
    assert alice.get("/v1/uploads", params={"projectId": "q"}).json()["uploads"] == []


def snake(name: str) -> str:
    return re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def test_a_batch_creates_uploads_in_the_order_of_its_requests(alice: httpx.Client) -> None:
    names = [f"{number}.jpg" for number in range(20)]
    requests = [{"spec": {"filename": name}} for name in names]
    answer = alice.post("/v1/uploads:batchCreate", json={"requests": requests})
    results = answer.json()["results"]
    assert [result["upload"]["spec"]["filename"] for result in results] == names


def test_a_batch_of_uploads_is_created_in_part_or_atomically(bystander: httpx.Client) -> None:
    specs = [{"spec": {"filename": "a.jpg"}}, {"spec": {"contentType": "text/html"}}]
    answer = bystander.post("/v1/uploads:batchCreate", json={"requests": specs, "atomic": True})
    assert refusal(answer) == (415, "TYPE_NOT_ALLOWED")
    assert bystander.get("/v1/uploads").json().get("uploads", []) == []
    answer = bystander.post("/v1/uploads:batchCreate", json={"requests": specs})
    created, refused = answer.json()["results"]
    assert reason_of(refused["error"]) == "TYPE_NOT_ALLOWED"
    (listed,) = bystander.get("/v1/uploads").json()["uploads"]
    assert listed["uploadId"] == created["upload"]["uploadId"]


def test_uploads_are_listed_newest_first_and_filtered_by_state(bystander: httpx.Client) -> None:
    uploads = [create(bystander) for _ in range(5)]
    bystander.delete(f"/v1/uploads/{uploads[0]}")
    first = bystander.get("/v1/uploads", params={"pageSize": 3}).json()
    second = bystander.get(
        "/v1/uploads", params={"pageSize": 3, "pageToken": first["nextPageToken"]}
    ).json()
    listed = [upload["uploadId"] for upload in first["uploads"] + second["uploads"]]
    assert listed == uploads[::-1]
    assert second["nextPageToken"] == ""
    aborted = bystander.get("/v1/uploads", params={"state": "ABORTED"}).json()["uploads"]
    assert [upload["uploadId"] for upload in aborted] == uploads[:1]
    answer = bystander.get("/v1/uploads", params={"pageToken": first["nextPageToken"], "state": 1})
    assert refusal(answer) == (400, "INVALID_PAGE_TOKEN")


def test_an_upload_of_another_owner_does_not_exist(
    alice: httpx.Client, bystander: httpx.Client
) -> None:
    upload = create(alice)
    path = f"/v1/uploads/{upload}"
    for answer in (
        bystander.get(path),
        bystander.delete(path),
        bystander.get(f"{path}:watch"),
        bystander.post(f"{path}:complete", json={}),
        patch(bystander, upload, 0, b"bytes"),
    ):
        assert refusal(answer) == (404, "UPLOAD_NOT_FOUND")
    assert bystander.head(f"{path}/content").status_code == 404


# Watching


def test_a_watch_shows_progress_until_the_upload_has_finished(
    service: Service, alice: httpx.Client
) -> None:
    data = video_bytes(3 * MIB)
    upload = create(alice)
    path = f"/v1/uploads/{upload}"
    with (
        client_of(service, "alice") as other,
        other.stream("GET", f"{path}:watch") as watch,
        open_request(
            service,
            "alice",
            "PATCH",
            f"{path}/content",
            Upload_Offset=0,
            Upload_Complete="?1",
            Content_Length=len(data),
        ) as uploading,
    ):
        seen = events(watch)
        assert next(seen)["committedSizeBytes"] == "0"
        uploading.sendall(data[:MIB])
        # The body has not ended, but received bytes become durable after a while.
        assert any(event["committedSizeBytes"] == str(MIB) for event in seen)
        uploading.sendall(data[MIB:])
        states = [event["state"] for event in seen]
    assert states[-1] == "FINISHED"
    assert set(states[:-1]) <= {"ACTIVE", "VERIFYING"}
    assert content(alice, media_of(alice, upload)) == data


def test_a_watch_of_an_ended_upload_sends_its_final_state_and_ends(alice: httpx.Client) -> None:
    upload = create(alice)
    patch(alice, upload, 0, jpeg(), complete=True)
    with alice.stream("GET", f"/v1/uploads/{upload}:watch") as watch:
        assert [event["state"] for event in events(watch)] == ["FINISHED"]


# One file in one request


def curl(service: Service, *arguments: str, stdin: bytes = b"") -> tuple[int, dict[str, Any]]:
    """The status and JSON of a curl request as alice."""
    done = subprocess.run(
        [
            *(
                require_tool("curl"),
                "--silent",
                "--show-error",
                "--noproxy",
                "*",
                "--max-time",
                "30",
            ),
            *("--header", f"Authorization: Bearer {service.token('alice')}"),
            *("--write-out", "\n%{http_code}"),
            *arguments,
        ],
        input=stdin,
        capture_output=True,
        timeout=60,
        check=True,
    )
    body, _, status = done.stdout.rpartition(b"\n")
    return int(status), json.loads(body)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "holiday photo.jpg"
    path.write_bytes(jpeg())
    return path


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    """A file large enough that curl sends `Expect: 100-continue` and many messages."""
    path = tmp_path / "movie.mp4"
    path.write_bytes(video_bytes(5 * MIB))
    return path


def test_curl_uploads_a_raw_body(service: Service, alice: httpx.Client, movie: Path) -> None:
    url = f"{service.base_url}/v1/media:upload?filename=movie.mp4"
    for how in (("--data-binary", f"@{movie}"), ("--request", "POST", "--upload-file", str(movie))):
        status, media = curl(service, *how, url)
        assert (status, media["filename"]) == (201, "movie.mp4")
        assert content(alice, media["mediaId"]) == movie.read_bytes()


def test_curl_uploads_a_pipe_of_unknown_length(service: Service, alice: httpx.Client) -> None:
    data = video_bytes(3 * MIB)
    url = f"{service.base_url}/v1/media:upload?filename=a.mp4"
    status, media = curl(service, "--request", "POST", "--upload-file", "-", url, stdin=data)
    assert status == 201
    assert content(alice, media["mediaId"]) == data


def test_curl_uploads_a_form(
    service: Service, alice: httpx.Client, photo: Path, movie: Path
) -> None:
    for path in (photo, movie):
        status, media = curl(
            service, "--form", f"file=@{path}", f"{service.base_url}/v1/media:upload"
        )
        assert (status, media["filename"]) == (201, path.name)
        assert content(alice, media["mediaId"]) == path.read_bytes()


def test_a_form_field_names_the_file(service: Service, photo: Path) -> None:
    url = f"{service.base_url}/v1/media:upload"
    fields = ("--form", "filename=Überraschung.jpg", "--form", f"file=@{photo}")
    status, media = curl(service, *fields, url)
    assert (status, media["filename"]) == (201, "Überraschung.jpg")


def test_a_form_part_with_a_wrong_content_type_is_refused(service: Service, photo: Path) -> None:
    url = f"{service.base_url}/v1/media:upload"
    status, error = curl(service, "--form", f"file=@{photo};type=video/mp4", url)
    assert (status, error["details"][0]["reason"]) == (415, "TYPE_MISMATCH")


def test_a_stored_file_has_its_sha256_at_once(alice: httpx.Client) -> None:
    data = jpeg()
    assert sha256(store(alice, data)) == hashlib.sha256(data).digest()


def test_a_stored_file_is_201_with_an_absolute_location(
    service: Service, alice: httpx.Client
) -> None:
    data = jpeg()
    answer = alice.post("/v1/media:upload?filename=a.jpg", content=data)
    media = answer.json()["mediaId"]
    assert answer.status_code == 201
    port = service.environ["MEDIA_REST_PORT"]
    assert answer.headers["location"] == f"http://localhost:{port}/v1/media/{media}"
    assert answer.headers["etag"]


def test_a_raw_body_is_checked_against_its_digest(alice: httpx.Client) -> None:
    data = jpeg()
    for header in ("repr-digest", "content-digest"):
        right, wrong = {header: digest(data)}, {header: digest(b"other")}
        assert alice.post("/v1/media:upload", content=data, headers=right).status_code == 201
        answer = alice.post("/v1/media:upload", content=data, headers=wrong)
        assert refusal(answer) == (400, "CHECKSUM_MISMATCH")


def form(*parts: tuple[str, bytes], closed: bool = True) -> tuple[dict[str, str], bytes]:
    """The header and body of a multipart form of (Content-Disposition parameters, body)."""
    pieces = [
        b"--limit\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (head.encode(), body)
        for head, body in parts
    ]
    end = b"--limit--\r\n" if closed else b""
    return {"content-type": "multipart/form-data; boundary=limit"}, b"".join(pieces) + end


FILE = ('name="file"; filename="a.jpg"', jpeg())


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        (form(FILE, closed=False), "INCOMPLETE_BODY"),
        (form(FILE, FILE), "INVALID_MULTIPART"),
        (form(('name="owner"', b"red"), FILE), "INVALID_MULTIPART"),
        (form(FILE, ('name="filename"', b"late.jpg")), "INVALID_MULTIPART"),
        (form(('name="filename"', b"a.jpg")), "INVALID_MULTIPART"),
        (form(('name="filename"', b"x" * 300_000), FILE), "INVALID_MULTIPART"),
        (({"content-type": "multipart/form-data"}, form(FILE)[1]), "INVALID_MULTIPART"),
        ((form(FILE)[0], b"no form"), "INVALID_MULTIPART"),
        ((form(FILE)[0], b""), "INCOMPLETE_BODY"),
    ],
    ids=[
        "truncated",
        "two files",
        "field of the query",
        "field after the file",
        "no file",
        "endless field",
        "no boundary",
        "no form",
        "nothing",
    ],
)
def test_an_invalid_form_is_refused_and_leaves_no_files(
    service: Service, bystander: httpx.Client, form: tuple[dict[str, str], bytes], reason: str
) -> None:
    before = stored_files(service)
    headers, body = form
    answer = bystander.post("/v1/media:upload", headers=headers, content=body)
    assert refusal(answer) == (503 if reason == "INCOMPLETE_BODY" else 400, reason)
    assert bystander.get("/v1/media").json() == NO_MEDIA
    eventually(lambda: not stored_files(service) - before)


# Broken connections


def test_an_interrupted_append_keeps_received_bytes_and_can_be_resumed(
    service: Service, alice: httpx.Client
) -> None:
    data = video_bytes(3 * MIB)
    upload = create(alice, sizeBytes=len(data))
    path = f"/v1/uploads/{upload}/content"
    headers: dict[str, str | int] = {"Upload-Offset": 0, "Content-Length": len(data)}
    with open_request(service, "alice", "PATCH", path, **headers) as connection:
        connection.sendall(data[:MIB])
        eventually(lambda: offset_of(alice, upload) == MIB)
        connection.sendall(data[MIB : MIB + 1000])
    assert offset_of(alice, upload) >= MIB
    answer = resume(alice, upload, data)
    assert answer.json()["state"] == "FINISHED"
    assert content(alice, media_of(alice, upload)) == data


def test_an_interrupted_single_request_upload_leaves_no_files(
    service: Service, bystander: httpx.Client
) -> None:
    data = video_bytes(4 * MIB)
    before = stored_files(service)
    user = f"user-{new_id()}"
    path = "/v1/media:upload?filename=a.mp4"
    for headers in ({"Content-Length": len(data)}, {"Transfer-Encoding": "chunked"}):
        with open_request(service, user, "POST", path, **headers) as connection:
            if "Transfer-Encoding" in headers:
                connection.sendall(f"{len(data):x}\r\n".encode())
            connection.sendall(data[: 3 * MIB])
            eventually(lambda: stored_files(service) - before)
        eventually(lambda: not stored_files(service) - before)
    with client_of(service, user) as client:
        assert client.get("/v1/media").json() == NO_MEDIA


# Slow callers


@pytest.fixture(scope="module")
def impatient() -> Iterator[Service]:
    """A service that ends streams slower than 1 KiB a second."""
    with tempfile.TemporaryDirectory(prefix="media-slow-") as folder:
        environ = environment(Path(folder) / "data", MEDIA_STREAM_TIMEOUT="1s")
        with running(environ) as service:
            yield service


def status_line(connection: socket.socket) -> bytes:
    return connection.recv(65536).partition(b"\r\n")[0]


def test_a_too_slow_caller_is_disconnected_and_can_resume(impatient: Service) -> None:
    data = jpeg()
    with client_of(impatient, "alice") as client:
        upload = create(client, sizeBytes=len(data))
        path = f"/v1/uploads/{upload}/content"
        headers: dict[str, str | int] = {
            "Upload-Offset": 0,
            "Upload-Complete": "?1",
            "Content-Length": len(data),
        }
        with open_request(impatient, "alice", "PATCH", path, **headers) as connection:
            connection.sendall(data[:1])
            assert status_line(connection) == b"HTTP/1.1 408 Request Timeout"
        assert offset_of(client, upload) == 1
        assert resume(client, upload, data).json()["state"] == "FINISHED"


def test_a_too_slow_single_request_upload_leaves_no_files(impatient: Service) -> None:
    before = stored_files(impatient)
    headers = {"Content-Length": 1000}
    with open_request(impatient, "bob", "POST", "/v1/media:upload", **headers) as connection:
        connection.sendall(b"\xff")
        assert status_line(connection) == b"HTTP/1.1 408 Request Timeout"
    eventually(lambda: not stored_files(impatient) - before)
    with client_of(impatient, "bob") as client:
        assert client.get("/v1/media").json() == NO_MEDIA
