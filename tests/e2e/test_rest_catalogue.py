"""The catalog over REST, through Envoy."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from media_service.ids import new_id
from tests.support.media.format_files import (
    ffmpeg,
    make_image,
    pdf,
    video_with_everything,
    with_tags,
)
from tests.support.media.format_files import make_video as real_video
from tests.support.media.small_files import jpeg, png, video_bytes
from tests.support.rest import NO_MEDIA, client_of, files_with, refusal, settled, store
from tests.support.service import Service
from tests.support.tools import eventually

CAMERA = {
    "ifd0-Make": "Fujifilm",
    "ifd0-Model": "X100",
    "ifd3-GPSLatitude": "43/1 28/1 281/100",
    "ifd3-GPSLatitudeRef": "S",
    "ifd3-GPSLongitude": "11/1 53/1 645/100",
    "ifd3-GPSLongitudeRef": "E",
}


@pytest.fixture
def owner(service: Service) -> Iterator[httpx.Client]:
    """A user without media."""
    with client_of(service, f"user-{new_id()}") as client:
        yield client


@pytest.fixture(scope="module")
def collector(service: Service) -> Iterator[httpx.Client]:
    """A user with five media, all inspected: c.jpg, a.png, b.mp4 (broken), d.jpg, e.jpg."""
    with client_of(service, f"user-{new_id()}") as client:
        ids = [
            store(client, data, name)["mediaId"]
            for name, data in {
                "c.jpg": jpeg(),
                "a.png": png(),
                "b.mp4": video_bytes(100_000),
                "d.jpg": jpeg(200, 200),
                "e.jpg": jpeg(400, 400),
            }.items()
        ]
        for media in ids:
            settled(client, media)
        client.patch(f"/v1/media/{ids[0]}", json={"tags": ["beach", "2026"]})
        yield client


def names(client: httpx.Client, **query: Any) -> list[str]:
    answer = client.get("/v1/media", params=query)
    assert answer.status_code == 200, answer.text
    return [media["filename"] for media in answer.json()["media"]]


# Lists


def test_media_are_listed_newest_first(collector: httpx.Client) -> None:
    assert names(collector) == ["e.jpg", "d.jpg", "b.mp4", "a.png", "c.jpg"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("kind=VIDEO", ["b.mp4"]),
        ("kind=image", ["a.png", "c.jpg", "d.jpg", "e.jpg"]),
        ("state=FAILED", ["b.mp4"]),
        ('content_type="image/*" AND NOT content_type="image/png"', ["c.jpg", "d.jpg", "e.jpg"]),
        ('filename="*.png" OR kind=VIDEO', ["a.png", "b.mp4"]),
        ("size_bytes>=100000", ["b.mp4"]),
        ('tags:"beach" tags:2026', ["c.jpg"]),
        ("create_time>2000-01-01T00:00:00Z -(kind=IMAGE)", ["b.mp4"]),
        ("create_time<2000-01-01T00:00:00Z", []),
    ],
)
def test_media_are_filtered_by_their_fields(
    collector: httpx.Client, wanted: str, found: list[str]
) -> None:
    assert names(collector, filter=wanted, orderBy="filename") == found


def test_media_are_ordered_as_requested(collector: httpx.Client) -> None:
    in_order = ["a.png", "b.mp4", "c.jpg", "d.jpg", "e.jpg"]
    assert names(collector, orderBy="filename") == in_order
    assert names(collector, orderBy="filename desc") == in_order[::-1]
    assert names(collector, orderBy="size_bytes desc, filename")[0] == "b.mp4"


def test_the_pages_together_are_the_whole_list(collector: httpx.Client) -> None:
    for order in ("", "filename", "size_bytes desc, filename"):
        query = {"orderBy": order, "pageSize": 2}
        pages: list[list[str]] = []
        token = "first"
        while token:
            asked = query | ({"pageToken": token} if token != "first" else {})
            page = collector.get("/v1/media", params=asked).json()
            pages.append([media["filename"] for media in page["media"]])
            token = page["nextPageToken"]
        assert [len(page) for page in pages] == [2, 2, 1]
        assert [name for page in pages for name in page] == names(collector, orderBy=order)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"filter": "colour=red"}, "INVALID_FILTER"),
        ({"filter": "size_bytes>many"}, "INVALID_FILTER"),
        ({"filter": 'filename="'}, "INVALID_FILTER"),
        ({"filter": "(" * 200}, "INVALID_FILTER"),
        ({"filter": "'; drop table media; --"}, "INVALID_FILTER"),
        ({"filter": "size_bytes>99999999999999999999999"}, "INVALID_FILTER"),
        ({"filter": "a" * 3000}, "INVALID_FIELD"),
        ({"orderBy": "colour"}, "INVALID_ORDER_BY"),
        ({"orderBy": "filename sideways"}, "INVALID_ORDER_BY"),
        ({"orderBy": "filename, filename"}, "INVALID_ORDER_BY"),
        ({"pageToken": "nonsense"}, "INVALID_PAGE_TOKEN"),
        ({"pageToken": "%%%"}, "INVALID_PAGE_TOKEN"),
        ({"pageSize": -1}, "INVALID_FIELD"),
        ({"pageSize": "many"}, "INVALID_REQUEST"),
        ({"colour": "red"}, "INVALID_REQUEST"),
    ],
)
def test_an_invalid_list_query_is_400(
    collector: httpx.Client, query: dict[str, Any], reason: str
) -> None:
    assert refusal(collector.get("/v1/media", params=query)) == (400, reason)


def test_a_page_token_is_valid_only_for_its_query(
    collector: httpx.Client, owner: httpx.Client
) -> None:
    token = collector.get("/v1/media", params={"pageSize": 2}).json()["nextPageToken"]
    other: dict[str, str]
    for other in ({"filter": "kind=IMAGE"}, {"orderBy": "filename"}, {"showDeleted": "true"}):
        answer = collector.get("/v1/media", params={**other, "pageToken": token})
        assert refusal(answer) == (400, "INVALID_PAGE_TOKEN")
    answer = owner.get("/v1/media", params={"pageToken": token})
    assert refusal(answer) == (400, "INVALID_PAGE_TOKEN")


# Changes


def test_an_update_changes_only_masked_fields(owner: httpx.Client) -> None:
    path = f"/v1/media/{store(owner, jpeg(), 'a.jpg')['mediaId']}"
    body = {"title": "Beach", "description": "Not this", "tags": ["x"]}
    answer = owner.patch(path, params={"updateMask": "title,tags"}, json=body)
    assert answer.status_code == 200, answer.text
    changed = answer.json()
    assert (changed["title"], changed["tags"]) == ("Beach", ["x"])
    assert changed["description"] == ""
    cleared = owner.patch(path, params={"updateMask": "tags"}, json={}).json()
    assert cleared["tags"] == []
    # Without a mask: the fields that are set.
    assert owner.patch(path, json={"filename": "b.jpg"}).json()["title"] == "Beach"
    assert owner.get(path).json()["filename"] == "b.jpg"


def test_updating_output_only_fields_is_refused(owner: httpx.Client) -> None:
    path = f"/v1/media/{store(owner, jpeg())['mediaId']}"
    for mask in ("state", "sizeBytes", "owner"):
        answer = owner.patch(path, params={"updateMask": mask}, json={})
        assert refusal(answer) == (400, "INVALID_UPDATE_MASK")
    for wrong in ({"filename": "a/b"}, {"title": "x" * 201}, {"tags": ["x", "x"]}):
        assert refusal(owner.patch(path, json=wrong)) == (400, "INVALID_FIELD")
    answer = owner.patch(path, json={"title": ["x"]})
    assert refusal(answer) == (400, "INVALID_REQUEST")


def test_an_update_can_require_an_etag(owner: httpx.Client) -> None:
    media = store(owner, jpeg())["mediaId"]
    settled(owner, media)
    path = f"/v1/media/{media}"
    answer = owner.get(path)
    seen = answer.headers["etag"]
    assert seen == answer.json()["etag"]
    changed = owner.patch(path, headers={"if-match": seen}, json={"title": "first"})
    assert changed.headers["etag"] != seen
    late = owner.patch(path, headers={"if-match": seen}, json={"title": "second"})
    assert refusal(late) == (412, "ETAG_MISMATCH")
    late = owner.patch(path, json={"title": "second", "etag": seen})
    assert refusal(late) == (412, "ETAG_MISMATCH")
    assert refusal(owner.delete(path, headers={"if-match": seen})) == (412, "ETAG_MISMATCH")
    assert owner.get(path).json()["title"] == "first"
    answer = owner.delete(path, headers={"if-match": changed.headers["etag"]})
    assert answer.status_code == 200


def test_labels_and_times_are_updated_by_mask(owner: httpx.Client) -> None:
    path = f"/v1/media/{store(owner, jpeg())['mediaId']}"
    fields = {"labels": {"album": "2026"}, "captureTime": "2020-01-02T03:04:05Z"}
    changed = owner.patch(path, json={**fields, "expireTime": "2100-01-01T00:00:00Z"}).json()
    assert changed["labels"] == fields["labels"]
    assert changed["captureTime"] == fields["captureTime"]
    query = {"filter": 'labels.album="2026"', "projectId": "", "owner.type": "user"}
    query["owner.id"] = changed["owner"]["id"]
    assert names(owner, **query) == ["a.jpg"]
    cleared = owner.patch(path, params={"updateMask": "labels,expireTime"}, json={}).json()
    assert (cleared["labels"], "expireTime" in cleared) == ({}, False)
    assert cleared["captureTime"] == fields["captureTime"]


# Conditions, HEAD, and the form of responses


def test_an_unchanged_media_is_304(owner: httpx.Client) -> None:
    media = store(owner, jpeg())["mediaId"]
    settled(owner, media)
    path = f"/v1/media/{media}"
    etag = owner.get(path).headers["etag"]
    for known in (etag, f'"other", W/{etag}', "*"):
        answer = owner.get(path, headers={"if-none-match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
        assert "content-type" not in answer.headers
        # The connection is still usable.
        assert owner.get(path).json()["mediaId"] == media
    signed = owner.get(path, params={"signReadUrls": "true"}, headers={"if-none-match": etag})
    assert signed.json()["readUrl"]
    owner.patch(path, json={"title": "new"})
    assert owner.get(path, headers={"if-none-match": etag}).json()["title"] == "new"


def test_a_304_is_followed_by_the_next_response_on_the_same_connection(
    service: Service, owner: httpx.Client
) -> None:
    media = store(owner, jpeg())["mediaId"]
    settled(owner, media)
    request = (
        f"GET /v1/media/{media} HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n"
        f"Authorization: {owner.headers['authorization']}\r\n"
    )
    address = urlsplit(service.base_url)
    with socket.create_connection((address.hostname, address.port), 30) as connection:
        connection.sendall(f"{request}\r\n{request}Connection: close\r\n\r\n".encode())
        answers = b"".join(iter(lambda: connection.recv(65536), b""))
    first, second, rest = answers.split(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 304 ")
    assert second.startswith(b"HTTP/1.1 304 ")
    assert rest == b""
    assert b"transfer-encoding" not in first.lower()


def test_head_is_supported_wherever_get_is(collector: httpx.Client, service: Service) -> None:
    media = collector.get("/v1/media").json()["media"][0]["mediaId"]
    for path in ("/v1/media", f"/v1/media/{media}", "/v1/uploads", "/v1/jobs", "/v1/operations"):
        got, head = collector.get(path), collector.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(got.content))
        assert head.headers["content-type"] == "application/json"
        assert head.headers.get("etag") == got.headers.get("etag")
    missing = collector.head(f"/v1/media/{new_id()}")
    assert (missing.status_code, missing.content) == (404, b"")
    known = {"if-none-match": "*"}
    assert collector.head(f"/v1/media/{media}", headers=known).status_code == 304


def test_head_of_a_list_longer_than_a_buffer_has_its_length(owner: httpx.Client) -> None:
    labels = {f"key-{number}": '"' * 255 for number in range(64)}
    for _ in range(40):
        path = f"/v1/media/{store(owner, jpeg())['mediaId']}"
        changed = owner.patch(path, json={"description": '"' * 5000, "labels": labels})
        assert changed.status_code == 200
    for media in owner.get("/v1/media").json()["media"]:
        settled(owner, media["mediaId"])
    got, head = owner.get("/v1/media"), owner.head("/v1/media")
    assert len(got.content) > 1 << 20
    assert head.headers["content-length"] == str(len(got.content))
    assert head.content == b""


def test_empty_fields_are_included(owner: httpx.Client) -> None:
    assert owner.get("/v1/media").json() == NO_MEDIA
    media = store(owner, jpeg())
    shown = {name: media[name] for name in ("title", "tags", "labels", "renditions", "viewCount")}
    assert shown == {"title": "", "tags": [], "labels": {}, "renditions": [], "viewCount": "0"}
    # Unset optional fields are omitted.
    assert not {"error", "captureTime", "deleteTime", "image"} & set(media)


# Deletes


def test_a_deleted_media_is_unlisted_until_undeleted(owner: httpx.Client) -> None:
    media = store(owner, jpeg(), "a.jpg")["mediaId"]
    settled(owner, media)
    path = f"/v1/media/{media}"
    deleted = owner.delete(path).json()
    assert deleted["deleteTime"] < deleted["purgeTime"]
    assert owner.delete(path).json() == deleted
    assert names(owner) == []
    assert names(owner, showDeleted="true") == ["a.jpg"]
    assert owner.get(path).json() == deleted
    assert refusal(owner.patch(path, json={"title": "x"})) == (410, "MEDIA_DELETED")
    back = owner.post(f"{path}:undelete", json={}).json()
    assert "deleteTime" not in back
    assert names(owner) == ["a.jpg"]


def test_a_purge_removes_the_bytes_permanently(service: Service, owner: httpx.Client) -> None:
    data = video_bytes(12345)
    path = f"/v1/media/{store(owner, data)['mediaId']}"
    assert refusal(owner.post(f"{path}:purge", json={})) == (409, "MEDIA_NOT_DELETED")
    owner.delete(path)
    assert files_with(service, data)
    purged = owner.post(f"{path}:purge", json={})
    assert (purged.status_code, purged.json()) == (200, {})
    assert refusal(owner.get(path)) == (404, "MEDIA_NOT_FOUND")
    assert refusal(owner.post(f"{path}:undelete")) == (404, "MEDIA_NOT_FOUND")
    assert names(owner, showDeleted="true") == []
    eventually(lambda: not files_with(service, data))


def test_a_media_of_another_owner_does_not_exist(
    collector: httpx.Client, owner: httpx.Client
) -> None:
    theirs = collector.get("/v1/media").json()["media"][0]["mediaId"]
    path = f"/v1/media/{theirs}"
    for answer in (
        owner.get(path),
        owner.patch(path, json={"title": "mine"}),
        owner.delete(path),
        owner.post(f"{path}:undelete"),
        owner.post(f"{path}:purge"),
    ):
        assert refusal(answer) == (404, "MEDIA_NOT_FOUND")
    assert names(owner) == []


def test_an_unknown_id_is_404_and_a_malformed_one_400(owner: httpx.Client) -> None:
    assert refusal(owner.get(f"/v1/media/{new_id()}")) == (404, "MEDIA_NOT_FOUND")
    assert refusal(owner.get("/v1/media/no-id")) == (400, "INVALID_FIELD")
    assert refusal(owner.delete("/v1/media/no-id")) == (400, "INVALID_FIELD")


# Results of the inspection


@pytest.fixture
def photo(tmp_path: Path) -> bytes:
    """A photo from a camera held upright, with a GPS location."""
    path = tmp_path / "photo.jpg"
    with_tags(make_image(), CAMERA, orientation=6).write_to_file(str(path))
    return path.read_bytes()


def test_a_photo_has_the_dimensions_that_a_viewer_shows(owner: httpx.Client, photo: bytes) -> None:
    media = settled(owner, store(owner, photo)["mediaId"])
    assert (media["state"], media["kind"], media["contentType"]) == ("READY", "IMAGE", "image/jpeg")
    image = media["image"]
    assert (image["width"], image["height"], image["orientation"]) == (48, 64, 6)


def test_exif_and_location_are_returned_only_in_the_full_view(
    owner: httpx.Client, photo: bytes
) -> None:
    stored = store(owner, photo)["mediaId"]
    settled(owner, stored)
    path = f"/v1/media/{stored}"
    image = owner.get(path, params={"view": "FULL"}).json()["image"]
    assert image["exif"]["Model"] == "X100"
    assert not [name for name in image["exif"] if "GPS" in name]
    assert image["location"]["latitude"] == pytest.approx(-43.4674, abs=0.001)
    (upload,) = (found["uploadId"] for found in owner.get("/v1/uploads").json()["uploads"])
    for answer in (
        owner.get(path),
        owner.get(path, params={"view": "BASIC"}),
        owner.get("/v1/media"),
        owner.get(f"/v1/uploads/{upload}"),
        owner.get("/v1/uploads"),
        owner.patch(path, json={"title": "x"}),
        owner.delete(path),
        owner.post(f"{path}:undelete"),
    ):
        assert answer.status_code == 200
        assert not [word for word in ("GPS", "location", "X100") if word in answer.text]


def test_the_capture_time_is_read_from_an_image_unless_its_owner_states_it(
    owner: httpx.Client,
) -> None:
    tags = {"ifd2-DateTimeOriginal": "2020:01:02 05:04:05", "ifd2-OffsetTimeOriginal": "+02:00"}
    data = with_tags(make_image(), tags).jpegsave_buffer()
    assert settled(owner, store(owner, data)["mediaId"])["captureTime"] == "2020-01-02T03:04:05Z"
    query = {"spec.captureTime": "1999-12-31T00:00:00Z"}
    stated = owner.post("/v1/media:upload", params=query, content=data).json()
    assert settled(owner, stated["mediaId"])["captureTime"] == "1999-12-31T00:00:00Z"
    found = owner.get("/v1/media", params={"filter": "capture_time<2000-01-01T00:00:00Z"}).json()
    assert [media["mediaId"] for media in found["media"]] == [stated["mediaId"]]


def test_a_video_has_its_duration_and_codecs(owner: httpx.Client, tmp_path: Path) -> None:
    video = real_video(tmp_path / "video.mp4", "libx264", "aac")
    media = settled(owner, store(owner, video.read_bytes(), "video.mp4")["mediaId"])
    assert (media["state"], media["contentType"]) == ("READY", "video/mp4")
    video = media["video"]
    assert (video["width"], video["height"], video["frameRate"]) == (128, 72, 25)
    assert (video["videoCodec"], video["audioCodec"]) == ("h264", "aac")
    assert video["container"] == "mp4"
    assert video["durationSeconds"] == pytest.approx(1.2, abs=0.1)


def test_a_video_has_its_tracks_and_chapters(owner: httpx.Client, tmp_path: Path) -> None:
    video = video_with_everything(tmp_path / "video.mp4", "mov_text")
    video = settled(owner, store(owner, video.read_bytes(), "video.mp4")["mediaId"])["video"]
    assert video["dynamicRange"] == "SDR"
    assert [track["channels"] for track in video["audioTracks"]] == [1, 2]
    assert video["subtitleTracks"] == [
        {"codec": "tx3g", "language": "fra", "title": "", "text": True}
    ]
    assert [chapter["title"] for chapter in video["chapters"]] == ["One", "Zwölf"]


def test_an_audio_file_has_its_tags(owner: httpx.Client, tmp_path: Path) -> None:
    tags = ["-metadata", "title=A tale", "-metadata", "artist=Nobody"]
    audio = ffmpeg(tmp_path / "a.mp3", "-f", "lavfi", "-i", "sine=d=1", *tags)
    media = settled(owner, store(owner, audio.read_bytes(), "a.mp3")["mediaId"])
    assert media["audio"]["tags"] == {"title": "A tale", "artist": "Nobody"}


def test_a_document_has_its_page_count_size_and_metadata(
    owner: httpx.Client, tmp_path: Path
) -> None:
    document = pdf(tmp_path / "a.pdf", pages=3, info=b"/Title(A tale)/Author(Nobody)")
    media = settled(owner, store(owner, document.read_bytes(), "a.pdf")["mediaId"])
    assert media["document"] == {
        "pageCount": 3,
        "pageWidth": 200,
        "pageHeight": 100,
        "title": "A tale",
        "author": "Nobody",
    }


def test_a_truncated_document_fails_with_a_reason(owner: httpx.Client, tmp_path: Path) -> None:
    document = pdf(tmp_path / "a.pdf", pages=50).read_bytes()[:-200]
    media = settled(owner, store(owner, document, "a.pdf")["mediaId"])
    assert media["state"] == "FAILED"
    assert media["error"]["message"] == "The document is truncated: its end is missing."
