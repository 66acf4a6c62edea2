"""The browser plays valid streams and reports the player's error for broken ones."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.browser.browser import Browser, PlaybackError, Played, Size
from tests.support.browser.file_server import FileServer, file_server
from tests.support.media.player_videos import RATE, SECONDS, mp4, stream

TOKEN = "Bearer of-a-token"
# Either the player or the browser reports the error first.
NOT_DECODED = r"mediaError: bufferAppend|CHUNK_DEMUXER_ERROR"
LADDER = (Size(320, 180), Size(640, 360))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mp4(stream(tmp_path_factory.mktemp("videos")))


@pytest.fixture
async def server(videos: Path, browser_origin: str) -> AsyncIterator[FileServer]:
    async with file_server(videos, browser_origin) as server:
        yield server


@pytest.fixture
async def locked(videos: Path, browser_origin: str) -> AsyncIterator[FileServer]:
    async with file_server(videos, browser_origin, TOKEN) as server:
        yield server


@pytest.fixture
async def broken(videos: Path, browser_origin: str, tmp_path: Path) -> AsyncIterator[FileServer]:
    """A copy of the videos that a test may damage."""
    folder = shutil.copytree(videos, tmp_path / "videos")
    async with file_server(folder, browser_origin) as server:
        yield server


def assert_whole(played: Played) -> None:
    assert played.duration == pytest.approx(SECONDS, abs=0.1)
    assert played.seconds == pytest.approx(SECONDS, abs=0.2)
    assert played.decoded == pytest.approx(SECONDS * RATE, abs=3)
    assert played.audio_bytes > 10_000
    for seek in played.seeks:
        assert seek.shown is not None
        assert seek.time - 1.5 / RATE < seek.shown <= seek.time + 0.001


async def test_hls_plays_to_its_end_and_anywhere_in_each_level(
    browser: Browser, locked: FileServer
) -> None:
    headers = {"Authorization": TOKEN}
    played = await browser.play_hls(f"{locked.url}/master.m3u8", headers=headers)
    assert_whole(played)
    assert played.levels == LADDER


async def test_dash_plays_to_its_end_and_anywhere_in_each_level(
    browser: Browser, locked: FileServer
) -> None:
    headers = {"Authorization": TOKEN}
    played = await browser.play_dash(f"{locked.url}/manifest.mpd", headers=headers)
    assert_whole(played)
    assert played.levels == LADDER


async def test_plain_mp4_plays_by_ranges(browser: Browser, server: FileServer) -> None:
    played = await browser.play_plain(f"{server.url}/video.mp4")
    assert_whole(played)
    assert Size(played.width, played.height) == Size(640, 360)
    assert {status for _, status in server.answers} == {206}


async def test_nothing_plays_without_the_token(browser: Browser, locked: FileServer) -> None:
    with pytest.raises(PlaybackError, match=r"manifestLoadError.* 401 .*master\.m3u8"):
        await browser.play_hls(f"{locked.url}/master.m3u8")
    with pytest.raises(PlaybackError, match=r"dash\.js: 25: .*manifest\.mpd"):
        await browser.play_dash(f"{locked.url}/manifest.mpd")
    with pytest.raises(PlaybackError, match="video: source not supported"):
        await browser.play_plain(f"{locked.url}/video.mp4")


async def test_the_error_names_a_missing_audio_segment(
    browser: Browser, broken: FileServer
) -> None:
    # An audio segment, because audio has only one level.
    (broken.folder / "chunk-stream2-00003.m4s").unlink()
    with pytest.raises(PlaybackError, match=r"fragLoadError.* 404 .*chunk-stream2-00003\.m4s"):
        await browser.play_hls(f"{broken.url}/master.m3u8")
    with pytest.raises(PlaybackError, match=r"dash\.js: 27: .*chunk-stream2-00003\.m4s"):
        await browser.play_dash(f"{broken.url}/manifest.mpd")


async def test_the_error_names_a_missing_video_segment(
    browser: Browser, broken: FileServer
) -> None:
    # In both levels, because either may be the current one.
    for level in range(2):
        (broken.folder / f"chunk-stream{level}-00005.m4s").unlink()
    with pytest.raises(PlaybackError, match=r"fragLoadError.* 404 .*chunk-stream\d-00005\.m4s"):
        await browser.play_hls(f"{broken.url}/master.m3u8")


async def test_a_damaged_segment_is_an_error(browser: Browser, broken: FileServer) -> None:
    for segment in broken.folder.glob("chunk-stream?-00002.m4s"):
        size = segment.stat().st_size
        segment.write_bytes(segment.read_bytes()[: size // 2] + bytes(size - size // 2))
    with pytest.raises(PlaybackError, match=NOT_DECODED):
        await browser.play_hls(f"{broken.url}/master.m3u8")
    with pytest.raises(PlaybackError, match=NOT_DECODED):
        await browser.play_dash(f"{broken.url}/manifest.mpd")


async def test_a_gap_in_the_segments_is_an_error(browser: Browser, broken: FileServer) -> None:
    """Players skip the gap with or without an error. A seek into it ends after it."""
    for level in range(2):
        third, fourth = (broken.folder / f"chunk-stream{level}-0000{n}.m4s" for n in (3, 4))
        shutil.copy(fourth, third)
    with pytest.raises(PlaybackError, match=r"bufferAppendNoProgress|bufferSeekOverHole"):
        await browser.play_hls(f"{broken.url}/master.m3u8")
    with pytest.raises(PlaybackError, match="seek to 5 s: came to 6 s"):
        await browser.play_dash(f"{broken.url}/manifest.mpd")


async def test_a_broken_manifest_is_an_error(browser: Browser, broken: FileServer) -> None:
    (broken.folder / "master.m3u8").write_text("#EXTM3U\n")
    with pytest.raises(PlaybackError, match=r"manifestParsingError"):
        await browser.play_hls(f"{broken.url}/master.m3u8")
    manifest = broken.folder / "manifest.mpd"
    manifest.write_text(manifest.read_text()[:-20])
    with pytest.raises(PlaybackError, match=r"dash\.js: 10: parsing failed"):
        await browser.play_dash(f"{broken.url}/manifest.mpd")


async def test_a_video_without_its_index_is_an_error(browser: Browser, broken: FileServer) -> None:
    video = broken.folder / "video.mp4"
    video.write_bytes(video.read_bytes().replace(b"moov", b"none", 1))
    with pytest.raises(PlaybackError, match="video: source not supported"):
        await browser.play_plain(f"{broken.url}/video.mp4")
