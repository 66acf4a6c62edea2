"""An etag changes whenever a client sees a difference, once for each step of the service."""

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest

from media_service.ids import new_id
from tests.support.media.small_files import jpeg
from tests.support.rest import client_of, settled, store
from tests.support.service import Service
from tests.support.tools import NO_TLS

# After the last expected change, in case another follows.
QUIET_SECONDS = 1.0
# Fields that change without a new etag, as documented.
COUNTERS = ("viewCount", "downloadCount")

Media = dict[str, Any]


@pytest.fixture
def owner(service: Service) -> Iterator[httpx.Client]:
    with client_of(service, f"user-{new_id()}") as client:
        yield client


def seen_until(
    client: httpx.Client, media_id: str, is_last: Callable[[Media], bool]
) -> list[Media]:
    """The distinct states that a polling client sees until `is_last`, and for a while longer."""
    seen: list[Media] = []
    last = None
    begin = time.monotonic()
    while last is None or time.monotonic() < last + QUIET_SECONDS:
        assert time.monotonic() < begin + 60, seen
        answer = client.get(f"/v1/media/{media_id}")
        media = {key: value for key, value in answer.json().items() if key not in COUNTERS}
        assert answer.headers["etag"] == media["etag"]
        if media not in seen:
            seen.append(media)
        if last is None and is_last(media):
            last = time.monotonic()
    return seen


def without_etag(media: Media) -> Media:
    return {key: value for key, value in media.items() if key not in {"etag", "updateTime"}}


def check_each_etag_is_one_state(seen: list[Media]) -> None:
    etags = [media["etag"] for media in seen]
    assert len(set(etags)) == len(etags), "the media changed, but its etag did not"
    for earlier, later in pairwise(seen):
        assert without_etag(earlier) != without_etag(later), "only the etag changed"
        assert earlier["updateTime"] < later["updateTime"]


def test_the_etag_of_a_new_image_changes_once_for_each_step(owner: httpx.Client) -> None:
    """It is inspected, gets its SHA-256, and becomes READY with all of its thumbnails."""
    uploaded = store(owner, jpeg(800, 600), "a.jpg")
    seen = [
        uploaded,
        *seen_until(owner, uploaded["mediaId"], lambda m: bool(m["state"] == "READY")),
    ]
    seen = [m for n, m in enumerate(seen) if m["etag"] not in {each["etag"] for each in seen[:n]}]
    check_each_etag_is_one_state(seen[1:])
    assert len(seen) <= 4
    for media in seen:
        thumbnails = [rendition["name"] for rendition in media["renditions"]]
        assert thumbnails == (["large", "medium", "small"] if media["state"] == "READY" else [])


def test_publishing_an_image_changes_its_etag_once_more_after_the_update(
    owner: httpx.Client,
) -> None:
    media_id = store(owner, jpeg(800, 600), "a.jpg")["mediaId"]
    settled(owner, media_id)
    owner.patch(f"/v1/media/{media_id}", json={"visibility": "PUBLIC"})

    def is_public(media: Media) -> bool:
        return all(rendition["publicUrl"] for rendition in media["renditions"])

    seen = seen_until(owner, media_id, is_public)
    check_each_etag_is_one_state(seen)
    assert len(seen) <= 2
    for media in seen:
        assert len({bool(rendition["publicUrl"]) for rendition in media["renditions"]}) == 1


def test_moving_renditions_after_unpublishing_changes_no_etag(owner: httpx.Client) -> None:
    """The job that moves renditions out of the public store has no visible effect."""
    media_id = store(owner, jpeg(800, 600), "a.jpg")["mediaId"]
    settled(owner, media_id)
    path = f"/v1/media/{media_id}"
    owner.patch(path, json={"visibility": "PUBLIC"})
    public = seen_until(owner, media_id, lambda m: all(r["publicUrl"] for r in m["renditions"]))[-1]
    hidden = owner.patch(path, json={"visibility": "PRIVATE"}).json()
    assert not any(rendition["publicUrl"] for rendition in hidden["renditions"])

    def is_moved(_: Media) -> bool:
        url = public["renditions"][0]["publicUrl"]
        return httpx.get(url, verify=NO_TLS).status_code == 404

    assert {m["etag"] for m in seen_until(owner, media_id, is_moved)} == {hidden["etag"]}


def test_reading_content_changes_no_etag(owner: httpx.Client) -> None:
    media_id = store(owner, jpeg(800, 600), "a.jpg")["mediaId"]
    ready = settled(owner, media_id)
    for _ in range(3):
        assert owner.get(f"/v1/media/{media_id}/content").status_code == 200
        assert owner.get(f"/v1/media/{media_id}/renditions/small/content").status_code == 200
    again = owner.get(f"/v1/media/{media_id}").json()
    assert (again["etag"], again["updateTime"]) == (ready["etag"], ready["updateTime"])
