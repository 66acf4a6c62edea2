"""Commands that read what the upload just before them is still to become, pasted in one go."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.media.numbered_frames import counted
from tests.support.media.small_files import jpeg
from tests.support.service import Service

# Makes curl fail on an HTTP error.
PRELUDE = 'set -euo pipefail; curl() { command curl --fail-with-body -sS "$@"; }\n'
UPLOAD = """
AUTH="Authorization: Bearer $TOKEN"
UPLOADED=$(curl -H "$AUTH" -F file=@$FILE $REST/v1/media:upload)
MEDIA=$(grep -o '"mediaId":"[^"]*' <<< "$UPLOADED" | cut -d'"' -f4)
"""
IMAGE = """
curl -H "$AUTH" -o small.webp $REST/v1/media/$MEDIA/renditions/small/content
curl -H "$AUTH" -o 300.webp "$REST/v1/media/$MEDIA/image?width=300&format=WEBP"
"""
STREAM = """
curl -H "$AUTH" --json '{"ops": "stream:min_height=144"}' $REST/v1/media/$MEDIA:process
curl -H "$AUTH" -o master.m3u8 $REST/v1/media/$MEDIA/stream/master.m3u8
SIGNED=$(curl -H "$AUTH" --json '{"rendition": "stream"}' $REST/v1/media/$MEDIA:signUrl)
curl -o linked.mpd $(grep -o 'http[^"]*master' <<< "$SIGNED" | sed 's/master$/manifest.mpd/')
"""


@pytest.fixture
def paste(service: Service, tmp_path: Path) -> "Paste":
    return Paste(service, tmp_path)


class Paste:
    """Runs commands in a shell, all at once, in an empty directory."""

    def __init__(self, service: Service, folder: Path) -> None:
        self._service = service
        self.folder = folder

    def __call__(self, file: Path, commands: str) -> None:
        done = subprocess.run(
            ["/bin/bash", "-c", PRELUDE + UPLOAD + commands],
            env={
                "PATH": os.environ["PATH"],
                "REST": self._service.base_url,
                "TOKEN": self._service.token("early"),
                "FILE": str(file),
            },
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout[-1000:]} {done.stderr[-1000:]}"


def test_images_are_read_right_after_the_upload(paste: Paste) -> None:
    file = paste.folder / "photo.jpg"
    file.write_bytes(jpeg(640, 480))
    paste(file, IMAGE)
    for name in ("small.webp", "300.webp"):
        assert (paste.folder / name).read_bytes()[8:12] == b"WEBP"


def test_a_stream_plays_right_after_the_upload(paste: Paste) -> None:
    file = paste.folder / "video.mp4"
    file.write_bytes(counted(2, "10", "256x144"))
    paste(file, STREAM)
    assert "#EXT-X-STREAM-INF" in (paste.folder / "master.m3u8").read_text()
    assert 'type="static"' in (paste.folder / "linked.mpd").read_text()
