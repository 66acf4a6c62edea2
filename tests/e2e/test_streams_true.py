"""Streams match their originals, as measured by independent programs."""

import subprocess
from pathlib import Path

import httpx
import imageio_ffmpeg
import pytest

from tests.e2e.agreement import compared
from tests.support.media.measurements import likeness, probe, sync_offsets
from tests.support.media.player_videos import flashes
from tests.support.media.video_kinds import KINDS, generated_kind
from tests.support.rest import store
from tests.support.rest_events import events
from tests.support.tools import require_tool

# Longer than one chunk.
LONG = 100


def streamed(client: httpx.Client, video: Path, ops: str, folder: Path) -> Path:
    """The largest rung of a video and its audio, read over REST by a link into one file."""
    media_id = store(client, video.read_bytes(), video.name)["mediaId"]
    job = client.post(f"/v1/media/{media_id}:process", json={"ops": ops}).json()["jobId"]
    with client.stream("GET", f"/v1/jobs/{job}:watch", timeout=120) as watch:
        assert list(events(watch))[-1]["state"] == "SUCCEEDED"
    url = client.post(f"/v1/media/{media_id}:signUrl", json={"rendition": "stream"}).json()["url"]
    made = folder / "played.mkv"
    # Read by an HLS player other than the program that encoded it.
    command = [require_tool("ffmpeg"), "-v", "error", "-y", "-i", url, "-map", "0:v:0"]
    subprocess.run([*command, "-map", "0:a:0", "-c", "copy", str(made)], check=True)
    return made


def test_video_and_audio_stay_in_sync_across_chunks(alice: httpx.Client, tmp_path: Path) -> None:
    video = flashes(tmp_path, seconds=LONG)
    offsets = sync_offsets(streamed(alice, video, "stream:min_height=144", tmp_path))
    assert len(offsets) == LONG
    before = sync_offsets(video)
    assert all(abs(after - was) < 0.04 for after, was in zip(offsets, before, strict=True)), offsets


def test_a_stream_is_visually_similar_to_its_video(alice: httpx.Client, tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    image = "testsrc2=s=640x360:r=30:d=4,noise=alls=6:allf=t,rotate=0.05*sin(t)"
    inputs = ["-f", "lavfi", "-i", image, "-f", "lavfi", "-i", "sine=d=4"]
    options = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-pix_fmt", "yuv420p"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *inputs, *options, str(video)]
    subprocess.run(command, check=True)
    made = streamed(alice, video, "stream:min_height=144", tmp_path)
    found = probe(made)
    assert found.only("video").frames == 120
    assert found.only("video").rate == 30
    like = likeness(made, video)
    assert like.psnr > 30, like
    assert like.ssim > 0.92
    assert like.vmaf > 85
    assert found.duration == pytest.approx(4, abs=0.05)


@pytest.mark.parametrize("name", ["longer.flv", "late.ts", "still.webm", "fade-in.mp4"])
def test_a_stream_and_a_poster_agree_with_their_video(
    alice: httpx.Client, tmp_path: Path, name: str
) -> None:
    """More kinds, and videos of your own: python -m tests.e2e.agreement."""
    path = generated_kind(tmp_path, name, KINDS[name])
    assert compared(alice, path, tmp_path, valid=True) == []
