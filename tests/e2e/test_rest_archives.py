"""ZIP archives over REST, as a browser or curl downloads them."""

import subprocess
import zipfile
from pathlib import Path

import httpx

from tests.support.media.small_files import jpeg, video_bytes
from tests.support.rest import refusal, store
from tests.support.tools import require_tool


def test_curl_continues_the_download_of_an_archive(alice: httpx.Client, tmp_path: Path) -> None:
    video = video_bytes(3 << 20)
    media_ids = [
        store(alice, jpeg(), "beach.jpg")["mediaId"],
        store(alice, video, "waves.mp4")["mediaId"],
        store(alice, jpeg(), "beach.jpg")["mediaId"],
    ]
    created = alice.post("/v1/archives", json={"mediaIds": media_ids, "filename": "summer.zip"})
    archive = created.json()
    size = int(archive["sizeBytes"])
    assert (created.status_code, archive["fileCount"]) == (201, 3)
    head = alice.head(archive["url"])
    assert (head.headers["content-length"], head.headers["accept-ranges"]) == (str(size), "bytes")
    assert head.headers["content-disposition"] == 'attachment; filename="summer.zip"'

    path = tmp_path / "summer.zip"
    curl = [require_tool("curl"), "--silent", "--show-error", "--fail", "--output", str(path)]
    subprocess.run([*curl, "--range", "0-1999999", archive["url"]], check=True)
    assert path.stat().st_size == 2_000_000
    subprocess.run([*curl, "--continue-at", "-", archive["url"]], check=True)
    assert path.stat().st_size == size
    with zipfile.ZipFile(path) as found:
        assert found.namelist() == ["beach.jpg", "waves.mp4", "beach (2).jpg"]
        assert found.testzip() is None
        assert found.read("waves.mp4") == video

    own = f"/v1/archives/{archive['archiveId']}/content"
    etag = head.headers["etag"]
    assert alice.get(own, headers={"if-none-match": etag}).status_code == 304
    assert alice.get(own, headers={"range": f"bytes={size}-"}).status_code == 416
    assert alice.delete(f"/v1/media/{media_ids[0]}").status_code == 200
    part = {"range": "bytes=5-9", "if-range": etag}
    assert refusal(alice.get(own, headers=part)) == (409, "ARCHIVE_CHANGED")


def test_bad_selections_say_what_is_wrong(alice: httpx.Client) -> None:
    both = {"mediaIds": ["01a22ecd-51e2-709b-9bdc-4d38647c7477"], "filter": "kind=IMAGE"}
    for body, reason in (
        ({}, "INVALID_FIELD"),
        (both, "INVALID_FIELD"),
        ({"filter": "knd=IMAGE"}, "INVALID_FILTER"),
        ({"filter": "kind=IMAGE", "filename": "a/b.zip"}, "INVALID_FIELD"),
    ):
        assert refusal(alice.post("/v1/archives", json=body)) == (400, reason)
