"""Bad input through the whole stack: its reason, its status, and no lasting effect."""

import struct
import zlib
from collections.abc import Iterator
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
    files_with,
    media_of,
    offset_of,
    open_request,
    patch,
    reason_of,
    refusal,
    settled,
    store,
    stored_files,
)
from tests.support.service import Service
from tests.support.tools import eventually

MIB = 1 << 20
HTML = b"<!DOCTYPE html><html><script>alert(1)</script></html>"


@pytest.fixture
def owner(service: Service) -> Iterator[httpx.Client]:
    """A user without media."""
    with client_of(service, f"user-{new_id()}") as client:
        yield client


def bomb() -> bytes:
    """A PNG of a few bytes whose header declares 65536 × 65536 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 65536, 65536, 8, 6, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + png()[33:]


# Refused at the end of an upload: (bytes, declared type, status, reason)
REFUSED = {
    "an empty file": (b"", "", 400, "FILE_EMPTY"),
    "a page that calls itself an image": (HTML, "", 415, "TYPE_NOT_ALLOWED"),
    "a program": (b"\x7fELF\x02\x01\x01" + bytes(100), "", 415, "TYPE_NOT_ALLOWED"),
    "a type that is not taken": (jpeg(), "text/html", 415, "TYPE_NOT_ALLOWED"),
    "a playlist that calls itself a video": (
        b"#EXTM3U\n#EXTINF:2,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "",
        415,
        "TYPE_NOT_ALLOWED",
    ),
    "an image declared as a video": (jpeg(), "video/mp4", 415, "TYPE_MISMATCH"),
    "an image declared as a document": (jpeg(), "application/pdf", 415, "TYPE_MISMATCH"),
    "an image of four billion pixels": (bomb(), "image/png", 413, "PIXEL_LIMIT_EXCEEDED"),
}


@pytest.mark.parametrize(
    ("data", "declared", "status", "reason"), REFUSED.values(), ids=list(REFUSED)
)
def test_unaccepted_bytes_are_refused_and_leave_no_files(
    service: Service, owner: httpx.Client, data: bytes, declared: str, status: int, reason: str
) -> None:
    before = stored_files(service)
    answer = owner.post(
        "/v1/media:upload",
        params={"filename": "photo.jpg"},
        content=data,
        headers={"content-type": declared or "application/octet-stream"},
    )
    assert refusal(answer) == (status, reason)
    kind = {"Content-Type": declared} if declared else {}
    headers = "".join(f"{name}: {value}\r\n" for name, value in kind.items()).encode()
    body = b'--limit\r\nContent-Disposition: form-data; name="file"; filename="photo.jpg"\r\n' + (
        headers + b"\r\n" + data + b"\r\n--limit--\r\n"
    )
    answer = owner.post(
        "/v1/media:upload",
        content=body,
        headers={"content-type": "multipart/form-data; boundary=limit"},
    )
    assert refusal(answer) == (status, reason)
    assert owner.get("/v1/media").json() == NO_MEDIA
    eventually(lambda: not stored_files(service) - before)


@pytest.mark.parametrize(
    ("data", "declared", "status", "reason"),
    [refused for name, refused in REFUSED.items() if name != "a type that is not taken"],
)
def test_an_upload_of_unaccepted_bytes_fails_and_keeps_its_reason(
    service: Service, owner: httpx.Client, data: bytes, declared: str, status: int, reason: str
) -> None:
    before = stored_files(service)
    upload = create(owner, filename="photo.jpg", contentType=declared)
    answer = patch(owner, upload, 0, data, complete=True)
    assert refusal(answer) == (status, reason)
    ended = owner.get(f"/v1/uploads/{upload}").json()
    assert (ended["state"], reason_of(ended["error"])) == ("FAILED", reason)
    again = owner.post(f"/v1/uploads/{upload}:complete", json={})
    assert refusal(again) == (409, "UPLOAD_NOT_ACTIVE")
    assert refusal(owner.get(f"/v1/media/{media_of(owner, upload)}")) == (404, "MEDIA_NOT_FOUND")
    eventually(lambda: not stored_files(service) - before)


def test_an_unaccepted_declared_type_is_refused_before_any_bytes(owner: httpx.Client) -> None:
    answer = owner.post("/v1/uploads", json={"contentType": "text/html"})
    assert refusal(answer) == (415, "TYPE_NOT_ALLOWED")


def test_a_broken_image_fails_but_its_bytes_are_kept(owner: httpx.Client) -> None:
    whole = jpeg(640, 480)
    for broken in (whole[: len(whole) // 2], whole[:400] + bytes(400) + whole[800:]):
        media = settled(owner, store(owner, broken)["mediaId"])
        assert (media["state"], reason_of(media["error"])) == ("FAILED", "MEDIA_CORRUPT")
        assert content(owner, media["mediaId"]) == broken


def test_a_video_without_frames_fails_but_its_bytes_are_kept(owner: httpx.Client) -> None:
    data = video_bytes(100_000)
    media = settled(owner, store(owner, data, "a.mp4")["mediaId"])
    assert (media["state"], reason_of(media["error"])) == ("FAILED", "MEDIA_CORRUPT")
    assert content(owner, media["mediaId"]) == data


# Names


WRONG_NAMES = ["../../etc/passwd", "a/b.jpg", "a\\b.jpg", "a\nb.jpg", "a\0b.jpg", "x" * 10_000]


@pytest.mark.parametrize("name", WRONG_NAMES, ids=range(len(WRONG_NAMES)))
def test_an_invalid_filename_is_refused(service: Service, owner: httpx.Client, name: str) -> None:
    data = jpeg(width=65)
    answer = owner.post("/v1/uploads", json={"filename": name})
    assert refusal(answer) == (400, "INVALID_FIELD")
    answer = owner.post("/v1/media:upload", params={"filename": name}, content=data)
    assert refusal(answer) == (400, "INVALID_FIELD")
    form = owner.post("/v1/media:upload", data={"filename": name}, files={"file": ("a", data)})
    assert refusal(form) == (400, "INVALID_FIELD")
    assert files_with(service, data) == []
    media = store(owner, jpeg())["mediaId"]
    answer = owner.patch(f"/v1/media/{media}", json={"filename": name})
    assert refusal(answer) == (400, "INVALID_FIELD")


def test_a_filename_too_long_for_a_url_is_431(owner: httpx.Client) -> None:
    answer = owner.post(f"/v1/media:upload?filename={'x' * 40_000}", content=jpeg())
    assert refusal(answer) == (431, "INVALID_REQUEST")


# Sizes


def test_more_bytes_than_declared_are_refused(owner: httpx.Client) -> None:
    upload = create(owner, sizeBytes=1000)
    patch(owner, upload, 0, video_bytes(900))
    answer = patch(owner, upload, 900, bytes(200))
    assert refusal(answer) == (413, "SIZE_EXCEEDED")
    assert offset_of(owner, upload) <= 1000


@pytest.mark.parametrize("size", [60 << 30, 2**63 - 1])
def test_a_file_above_the_limit_is_refused_before_any_bytes(owner: httpx.Client, size: int) -> None:
    answer = owner.post("/v1/uploads", json={"sizeBytes": str(size)})
    assert refusal(answer) == (413, "FILE_TOO_LARGE")


@pytest.mark.parametrize(
    "spec",
    [
        {"sizeBytes": -1},
        {"contentType": "image"},
        {"contentType": "image/" + "x" * 200},
        {"filename": "a/b.jpg"},
        {"checksums": {"sha256": "AAAA"}},
    ],
)
def test_an_invalid_upload_spec_is_refused(owner: httpx.Client, spec: dict[str, Any]) -> None:
    assert refusal(owner.post("/v1/uploads", json=spec)) == (400, "INVALID_FIELD")


@pytest.mark.parametrize(
    "body", [b'{"sizeBytes": 1e400}', b'{"filename": [1]}', b"[" * 10_000, b'"text"', b"\xff\xfe"]
)
def test_invalid_json_is_400(owner: httpx.Client, body: bytes) -> None:
    assert refusal(owner.post("/v1/uploads", content=body)) == (400, "INVALID_REQUEST")


# Two writers


def test_a_second_writer_supersedes_the_first_whose_late_bytes_are_not_kept(
    service: Service, alice: httpx.Client
) -> None:
    data = video_bytes(2 * MIB)
    upload = create(alice)
    path = f"/v1/uploads/{upload}/content"
    headers: dict[str, str | int] = {"Upload-Offset": 0, "Content-Length": 4 * MIB}
    with open_request(service, "alice", "PATCH", path, **headers) as first:
        first.sendall(data[:MIB])
        eventually(lambda: offset_of(alice, upload) == MIB)
        second = patch(alice, upload, MIB, data[MIB:])
        assert second.headers["upload-offset"] == str(2 * MIB)
        answer = first.recv(65536)
        assert answer.startswith(b"HTTP/1.1 409 Conflict")
        assert b"SUPERSEDED" in answer
    assert patch(alice, upload, 2 * MIB, b"", complete=True).json()["state"] == "FINISHED"
    assert content(alice, media_of(alice, upload)) == data
