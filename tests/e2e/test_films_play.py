"""A browser plays what the service gives out."""

from pathlib import Path

import httpx
import pytest

from tests.browser.browser import Browser
from tests.e2e.rest import store
from tests.films import RATE, SECONDS, mp4


async def test_a_signed_url_plays_in_a_video_element(
    browser: Browser, alice: httpx.Client, tmp_path: Path
) -> None:
    film = (mp4(tmp_path) / "film.mp4").read_bytes()
    media_id = store(alice, film, "film.mp4")["mediaId"]
    url = alice.post(f"/v1/media/{media_id}:signUrl", json={}).json()["url"]
    played = await browser.play_plain(url)
    assert played.seconds == pytest.approx(SECONDS, abs=0.2)
    assert played.decoded == pytest.approx(SECONDS * RATE, abs=3)
    assert all(seek.shown is not None for seek in played.seeks)
