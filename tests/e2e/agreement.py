"""`python -m tests.e2e.agreement [FOLDER ...]`: uploads every video in the folders, and generated
ones of many kinds, to a real service, and compares their streams and posters with them."""

import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from click import echo

from tests.support.media.agreement import MAX_DIFFERENCE, Stream, disagreements, measured
from tests.support.media.video_kinds import every_kind
from tests.support.rest import client_of, settled, store
from tests.support.rest_events import events
from tests.support.service import environment, running

# Of files in the folders that are videos.
SUFFIX = re.compile(
    r"\.(3g[2p]|asf|avi|f4v|flv|m2ts|m4v|mk3?[dv]|mov|mp4|mpe?g|mts|og[vm]|ts|webm|wmv)"
)
JOBS = {"stream": "stream:min_height=144", "poster": "frame"}
# Tone mapping changes the brightness.
MAX_HDR_DIFFERENCE = 40.0


def compared(client: httpx.Client, path: Path, folder: Path, *, valid: bool) -> list[str]:
    """Returns how the stream and the poster of a video differ from it. A file that has no video
    track has neither, nor has one that is refused with a reason, which a `valid` one must not
    be."""
    media = settled(client, store(client, path.read_bytes(), path.name)["mediaId"])
    if valid and media["state"] != "READY":
        return [f"it is {media['state']}"]
    if media["state"] != "READY" or not media.get("video", {}).get("width"):
        return []
    media_id = media["mediaId"]
    found = [
        f"{name}: {job['error']['message']}"
        for name, ops in JOBS.items()
        if (job := ended(client, media_id, name, ops))["state"] != "SUCCEEDED"
    ]
    if found:
        return found
    source = measured(path)
    stream = downloaded(client, media_id, folder)
    hdr = media["video"].get("dynamicRange", "SDR") != "SDR"
    limit = MAX_HDR_DIFFERENCE if hdr else MAX_DIFFERENCE
    found += disagreements(source, stream, limit)
    poster = folder / "poster.jpg"
    poster.write_bytes(read(client, f"/v1/media/{media_id}/renditions/poster/content"))
    if measured(poster).black and not source.black:
        found.append("the poster is black")
    return found


def ended(client: httpx.Client, media_id: str, name: str, ops: str) -> dict[str, Any]:
    order = {"ops": ops} if name == "stream" else {"ops": ops, "renditionName": name}
    job = client.post(f"/v1/media/{media_id}:process", json=order).json()["jobId"]
    with client.stream("GET", f"/v1/jobs/{job}:watch", timeout=300) as watch:
        return list(events(watch))[-1]


def downloaded(client: httpx.Client, media_id: str, folder: Path) -> Stream:
    """Downloads the smallest rung, and adds up the durations of its playlist and those of the
    audio tracks."""
    base = f"/v1/media/{media_id}/stream/"
    master = read(client, f"{base}master.m3u8").decode()
    rungs = re.findall(r"^(?!#).+$", master, re.MULTILINE)
    audio = re.findall(r'TYPE=AUDIO.*URI="(.+)"', master)
    playlists = [read(client, base + name).decode() for name in (rungs[-1], *audio)]
    place = base + rungs[-1].rpartition("/")[0]
    segments = re.findall(r"^\d+\.m4s$", playlists[0], re.MULTILINE)
    path = folder / "stream.mp4"
    path.write_bytes(b"".join(read(client, f"{place}/{name}") for name in ("init.mp4", *segments)))
    video, *others = (sum(map(float, re.findall(r"#EXTINF:([\d.]+)", text))) for text in playlists)
    rates = re.findall(r":BANDWIDTH=(\d+),AVERAGE-BANDWIDTH=(\d+)", master)
    return Stream(measured(path), video, others, all(int(a) >= int(b) for a, b in rates))


def read(client: httpx.Client, path: str) -> bytes:
    return client.get(path, follow_redirects=True).raise_for_status().content


def videos(folders: list[Path], generated: Path) -> Iterator[tuple[Path, bool]]:
    """Yields videos, and whether each is certainly valid."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if SUFFIX.fullmatch(path.suffix.lower()):
                yield path, False
    for path in every_kind(generated):
        yield path, True


def main(folders: list[Path]) -> int:
    different = total = 0
    with tempfile.TemporaryDirectory(prefix="media-agreement-") as name:
        folder = Path(name)
        settings = environment(
            folder / "data", MEDIA_JWT_SECRET=secrets.token_hex(32), MEDIA_VIDEO_PRESETS="-"
        )
        (generated := folder / "generated").mkdir()
        with (
            (folder / "log").open("w") as log,
            running(settings, stderr=log) as service,
            client_of(service, "ann") as client,
        ):
            for path, valid in videos(folders, generated):
                found = ["it cannot be compared"]
                with suppress(httpx.HTTPStatusError, subprocess.CalledProcessError):
                    found = compared(client, path, folder, valid=valid)
                total += 1
                different += bool(found)
                echo(f"{path.name}: {'; '.join(found) or 'agrees'}")
    echo(f"{total - different} of {total} agree")
    return bool(different)


if __name__ == "__main__":
    sys.exit(main([Path(folder) for folder in sys.argv[1:]]))
