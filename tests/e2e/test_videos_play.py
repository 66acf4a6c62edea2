"""A browser plays the videos that the service delivers."""

import httpx
import pytest

from tests.support.browser.browser import Browser, PlaybackError, Played, Size
from tests.support.media.player_videos import RATE, SECONDS, mp4
from tests.support.rest import client_of, store
from tests.support.rest_events import events
from tests.support.service import Service


@pytest.fixture(scope="module")
def media_id(service: Service, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A video of alice."""
    video = mp4(tmp_path_factory.mktemp("video")) / "video.mp4"
    with client_of(service, "alice") as alice:
        return str(store(alice, video.read_bytes(), "video.mp4")["mediaId"])


def assert_whole(played: Played) -> None:
    assert played.seconds == pytest.approx(SECONDS, abs=0.2)
    assert played.decoded == pytest.approx(SECONDS * RATE, abs=3)
    assert played.audio_bytes > 10_000
    assert all(seek.shown is not None for seek in played.seeks)


def assert_ladder(played: Played) -> None:
    assert_whole(played)
    assert played.levels == (Size(426, 240), Size(640, 360))


async def test_a_signed_url_plays_in_a_video_element(
    browser: Browser, alice: httpx.Client, media_id: str
) -> None:
    url = alice.post(f"/v1/media/{media_id}:signUrl", json={}).json()["url"]
    assert_whole(await browser.play_plain(url))


@pytest.fixture(scope="module")
def stream_id(service: Service, media_id: str) -> str:
    """The same video, once its stream has two sizes."""
    with client_of(service, "alice") as alice:
        how = {"ops": "stream:min_height=144"}
        job = alice.post(f"/v1/media/{media_id}:process", json=how).json()["jobId"]
        with alice.stream("GET", f"/v1/jobs/{job}:watch") as watch:
            assert list(events(watch))[-1]["state"] == "SUCCEEDED"
    return media_id


async def test_a_stream_plays_for_its_owner(
    browser: Browser, service: Service, stream_id: str
) -> None:
    url = f"{service.base_url}/v1/media/{stream_id}/stream"
    headers = service.bearer("alice")
    assert_ladder(await browser.play_hls(f"{url}/master.m3u8", headers=headers))
    assert_ladder(await browser.play_dash(f"{url}/manifest.mpd", headers=headers))


async def test_a_stream_plays_for_anyone_with_its_link(
    browser: Browser, alice: httpx.Client, stream_id: str
) -> None:
    signed = alice.post(f"/v1/media/{stream_id}:signUrl", json={"rendition": "stream"})
    url = signed.json()["url"]
    assert_ladder(await browser.play_hls(url))
    assert_ladder(await browser.play_dash(url.replace("master.m3u8", "manifest.mpd")))


async def test_a_stream_does_not_play_for_other_users(
    browser: Browser, service: Service, stream_id: str
) -> None:
    url = f"{service.base_url}/v1/media/{stream_id}/stream/master.m3u8"
    with pytest.raises(PlaybackError, match=r"manifestLoadError.* 404 "):
        await browser.play_hls(url, headers=service.bearer("bob"))
