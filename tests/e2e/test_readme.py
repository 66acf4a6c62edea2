"""The recipes of the README work as written, pasted in one go."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.media.numbered_frames import counted
from tests.support.media.small_files import jpeg
from tests.support.service import Service
from tests.support.tools import require_tool

README = (Path(__file__).parents[2] / "README.md").read_text()
# Makes curl fail on an HTTP error.
PRELUDE = 'set -eo pipefail; curl() { command curl --fail-with-body -sS "$@"; }\n'
# The presets of a video, which the service of these tests does not have.
PRESETS = r"""
curl -H "Authorization: Bearer $TOKEN" $REST/v1/media:batchProcess --json "{\"requests\": [
  {\"mediaId\": \"$MEDIA\", \"ops\": \"stream:min_height=144\"},
  {\"mediaId\": \"$MEDIA\", \"ops\": \"frame\", \"renditionName\": \"poster\"},
  {\"mediaId\": \"$MEDIA\", \"ops\": \"storyboard\", \"renditionName\": \"storyboard\"}]}"
"""


def recipes(title: str) -> str:
    """The commands of a section."""
    (section,) = re.findall(rf"^##+ {title}\n(.*?)(?=^##)", README, re.MULTILINE | re.DOTALL)
    return "".join(re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL))


ADDRESSES = recipes("Try it").partition("\n# Upload")[0]


class Shell:
    """Runs commands in a folder with a photo and a video."""

    def __init__(self, service: Service, folder: Path) -> None:
        self._service = service
        self.folder = folder
        (folder / "photo.jpg").write_bytes(jpeg(320, 240))
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / "video.mp4").write_bytes(counted(2, "10", "256x144"))

    def paste(self, commands: str) -> None:
        ports = {"8080": self._service.base_url, "50051": self._service.grpc_address}
        for usual, address in ports.items():
            commands = commands.replace(f"localhost:{usual}", address.removeprefix("http://"))
        done = subprocess.run(
            ["/bin/bash", "-c", PRELUDE + commands],
            env={
                **self._service.environ,
                "PATH": f"{Path(require_tool('grpcurl')).parent}:{os.environ['PATH']}",
                "no_proxy": "*",
            },
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout[-1000:]} {done.stderr[-1000:]}"

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


@pytest.fixture
def shell(service: Service, tmp_path: Path) -> Shell:
    return Shell(service, tmp_path)


def test_the_recipes_for_images_work(shell: Shell) -> None:
    shell.paste("\n".join(map(recipes, ("Try it", "Images", "Jobs"))))
    assert shell.read("copy.jpg") == shell.read("photo.jpg")
    assert shell.read("copy.mp4") == shell.read("video.mp4")
    assert shell.read("small.webp")[8:12] == shell.read("300.webp")[8:12] == b"WEBP"
    assert b"avif" in shell.read("look.avif")[:32]


def test_the_recipes_for_uploads_work(shell: Shell) -> None:
    titles = ("Resume a large upload with curl", "Upload from a browser, without a token")
    shell.paste("\n".join([ADDRESSES, *map(recipes, titles)]))


def test_the_recipes_for_videos_work_right_after_the_upload(shell: Shell) -> None:
    upload, line, rest = recipes("Videos").partition("\n# A URL")
    watched = rest.partition("media-service process")[0]
    shell.paste("\n".join([ADDRESSES, upload, PRESETS + line + watched, ""]))
    assert shell.read("poster.jpg")


def test_the_recipes_for_organizing_work(shell: Shell) -> None:
    upload = "media-service upload photo.jpg"
    rated = "[ $(media-service ls --filter 'rating=5 tags:best' | wc -l) -ge 1 ]"
    listed = "[ $(media-service collection ls $COLLECTION | wc -l) -ge 1 ]"
    shell.paste("\n".join([ADDRESSES, upload, recipes("Organize"), rated, listed, ""]))


def test_the_recipes_for_several_people_work_one_after_the_other(shell: Shell) -> None:
    """What one of them leaves behind, such as a token of another user, does not break the next."""
    as_bob = "MEDIA_TOKEN=$(media-service token --user bob)"
    shell.paste(
        "\n".join(
            [
                *(ADDRESSES, recipes("A team with a project")),
                f"! {as_bob} media-service project list | grep .",
                recipes("A share link"),
                '[ -z "$(MEDIA_TOKEN=$SESSION media-service ls)" ]',
                recipes("An API key"),
                "! MEDIA_TOKEN=$KEY media-service ls",
                *(recipes("A quota"), recipes("A policy for uploads")),
            ]
        )
    )
