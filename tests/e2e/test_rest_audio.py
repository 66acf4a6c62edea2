"""Audio over REST: uploaded, processed, watched, and read."""

import json
from pathlib import Path

import httpx
import pytest

from tests.support.media.audio import generated, loudness, probed
from tests.support.rest import store
from tests.support.rest_events import events


@pytest.fixture
def media(alice: httpx.Client, tmp_path: Path) -> str:
    """Five seconds of quiet audio."""
    audio = generated(tmp_path / "a.wav", "anoisesrc=d=5:c=pink:r=44100:a=0.05")
    return str(store(alice, audio.read_bytes(), "a.wav")["mediaId"])


def processed(alice: httpx.Client, media: str, ops: str) -> httpx.Response:
    """The rendition that a pipeline produces."""
    job = alice.post(f"/v1/media/{media}:process", json={"ops": ops}).json()
    with alice.stream("GET", f"/v1/jobs/{job['jobId']}:watch") as watch:
        done = list(events(watch))[-1]
    assert done["state"] == "SUCCEEDED", done
    name = done["rendition"]["name"]
    return alice.get(f"/v1/media/{media}/renditions/{name}/content")


def test_audio_is_converted_to_mp3_at_the_requested_loudness(
    alice: httpx.Client, media: str, tmp_path: Path
) -> None:
    answer = processed(alice, media, "clip:1:4,normalize:-16,audio:MP3:96")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/mpeg")
    (made := tmp_path / "made.mp3").write_bytes(answer.content)
    assert float(probed(made)["format"]["duration"]) == pytest.approx(3, abs=0.06)
    assert loudness(made)[0] == pytest.approx(-16, abs=0.5)


def test_a_waveform_is_read_as_json_and_as_an_image(alice: httpx.Client, media: str) -> None:
    answer = processed(alice, media, "waveform:points_per_second=10")
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.content)["length"] == 50
    image = processed(alice, media, "waveform:WEBP:width=300")
    assert image.headers["content-type"] == "image/webp"
    assert image.content[8:12] == b"WEBP"
