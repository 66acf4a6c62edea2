"""Frames of videos: in ZIP files, storyboards and previews, and as single images."""

import re
import zipfile
from pathlib import Path

import pytest
import pyvips

from media_service.codecs.inspection import VideoInfo
from media_service.errors import InvalidArgument
from tests.support.media.format_files import ffmpeg
from tests.support.media.videos import TYPES, Studio, frame_at, generated, number, shown

CUE = re.compile(
    r"(\d\d):(\d\d):(\d\d\.\d{3}) --> (\d\d):(\d\d):(\d\d\.\d{3})\n"
    r"\.\./made/content#xywh=(\d+),(\d+),(\d+),(\d+)\n"
)


def unpacked(path: Path) -> dict[str, int]:
    """The numbers of the frames of `counted`, by file name."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {each.compress_type for each in archive.infolist()} == {zipfile.ZIP_STORED}
        return {
            each: number(pyvips.Image.new_from_buffer(archive.read(each), "")[0].avg())
            for each in archive.namelist()
        }


@pytest.mark.parametrize("interval", [4, 10], ids=["decoded", "sought"])
async def test_each_frame_is_the_one_shown_at_the_time_in_its_name(
    studio: Studio, counted: Path, interval: int
) -> None:
    reported: list[float] = []
    found = unpacked(await studio.make(counted, f"frames:{interval}", report=reported.append))
    assert list(found) == [f"{second * 1000:08d}.jpg" for second in range(0, 40, interval)]
    for name, seen in found.items():
        assert seen == pytest.approx(int(name[:8]) / 1000 * 5, abs=1), name
    assert reported[-1] == pytest.approx(1, abs=0.2)
    assert reported == sorted(reported)


async def test_frames_are_named_by_their_time_in_the_edited_video(
    studio: Studio, counted: Path
) -> None:
    found = unpacked(await studio.make(counted, "clip:20:40,speed:2,frames:5"))
    assert list(found) == ["00000000.jpg", "00005000.jpg"]
    assert list(found.values()) == [pytest.approx(100, abs=1), pytest.approx(150, abs=1)]


async def test_frames_are_at_most_max_width_wide_and_never_enlarged(
    studio: Studio, ordinary: Path
) -> None:
    for wanted, width in ((80, 80), (3840, 160)):
        [made] = await studio.all(ordinary, f"frames:1:max_width={wanted}")
        assert (made.content_type, made.width) == ("application/zip", width)
        with zipfile.ZipFile(made.path) as archive:
            first = pyvips.Image.new_from_buffer(archive.read("00000000.jpg"), "")
        assert (first.width, first.height) == (made.width, made.height)


async def test_a_zip_file_has_at_most_a_thousand_frames(studio: Studio, tmp_path: Path) -> None:
    path = generated(tmp_path / "many.mp4", "color=gray:s=32x32:r=25:d=50")
    with zipfile.ZipFile(await studio.make(path, "frames:0.04")) as archive:
        names = archive.namelist()
    assert len(names) == 1000
    assert names[-1] == "00049950.jpg"


@pytest.mark.parametrize("interval", [2, 10], ids=["decoded", "sought"])
async def test_a_storyboard_maps_each_interval_to_an_area_of_the_sheet(
    studio: Studio, counted: Path, interval: int
) -> None:
    text, sheet = await studio.all(counted, f"storyboard:{interval}:max_width=32")
    assert (text.content_type, text.suffix) == ("text/vtt", ".vtt")
    assert (sheet.content_type, sheet.suffix) == ("image/jpeg", "")
    words = text.path.read_text()
    assert words.startswith("WEBVTT\n\n")
    image = shown(sheet.path)
    assert (image.width, image.height) == (sheet.width, sheet.height)
    cues = [list(map(float, cue)) for cue in CUE.findall(words)]
    assert len(cues) == words.count("-->") == 40 / interval
    seen = set()
    for place, (*clock, x, y, width, height) in enumerate(cues):
        start, end = (clock[at] * 3600 + clock[at + 1] * 60 + clock[at + 2] for at in (0, 3))
        assert (start, end) == (place * interval, (place + 1) * interval)
        assert (width, height) == (32, 24)
        part = image.crop(int(x) + 4, int(y) + 4, 24, 16)
        # Key frames are twelve seconds apart, and seeking uses the last one before the time.
        output_order = 12 if interval >= 8 else 0
        assert 5 * (start - output_order) - 3 <= number(part[0].avg()) <= 5 * end + 3
        seen.add((x, y))
    assert len(seen) == len(cues)


async def test_a_storyboard_has_a_hundred_frames_unless_the_video_is_short(
    studio: Studio, ordinary: Path, tmp_path: Path
) -> None:
    text, _ = await studio.all(ordinary, "storyboard")
    assert text.path.read_text().count("-->") == 2
    path = generated(tmp_path / "long.mp4", "color=gray:s=32x32:r=2:d=500")
    text, _ = await studio.all(path, "storyboard")
    assert text.path.read_text().count("-->") == 100
    text, _ = await studio.all(path, "storyboard:0.1:max_width=32")
    assert text.path.read_text().count("-->") == 400


@pytest.mark.parametrize(("form", "content_type"), [("WEBP", "image/webp"), ("GIF", "image/gif")])
async def test_a_preview_loops_excerpts_of_the_whole_video(
    studio: Studio, counted: Path, form: str, content_type: str
) -> None:
    ops = f"preview:3:max_width=32:frame_rate=5:format={form}"
    [made] = await studio.all(counted, ops)
    assert (made.content_type, made.width, made.height) == (content_type, 32, 24)
    data = made.path.read_bytes()
    still = pyvips.Image.new_from_buffer(data, "")
    assert (still.width, still.height) == (32, 24)
    video = pyvips.Image.new_from_buffer(data, "", n=-1)
    assert video.get("loop") == 0, "for ever"
    pages = video.get("n-pages")
    lasts = sum(video.get("delay")[:pages]) / 1000
    assert lasts == pytest.approx(3, abs=0.4)
    grays = [number(video.crop(0, page * 24, 32, 24)[0].avg()) for page in range(pages)]
    assert grays == sorted(grays)
    assert grays[0] < 40
    assert grays[-1] > 160


async def test_a_preview_leaves_out_moments_without_a_new_frame(
    studio: Studio, tmp_path: Path
) -> None:
    options = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=1/2:d=8", "-c:v", "libx264")
    made = await studio.make(ffmpeg(tmp_path / "slides.mp4", *options), "preview:4:frame_rate=5")
    assert shown(made).avg() > 10


async def test_a_preview_of_a_short_video_is_all_of_it(studio: Studio, ordinary: Path) -> None:
    made = await studio.make(ordinary, "preview:8:frame_rate=10")
    video = pyvips.Image.new_from_buffer(made.read_bytes(), "", n=-1)
    assert video.get("n-pages") == 20


@pytest.mark.parametrize("form", ["WEBP", "GIF"])
async def test_a_preview_of_audio_with_a_single_frame_is_that_frame(
    studio: Studio, tmp_path: Path, form: str
) -> None:
    codecs = ("-c:v", "libx264", "-c:a", "aac")
    path = generated(tmp_path / "talk.mp4", "color=white:s=64x48:r=25:d=0.04", "sine=d=12", *codecs)
    made = await studio.make(path, f"preview:3:format={form}")
    assert shown(made).avg() > 250


@pytest.fixture(scope="module")
def gray(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video that is dark for four seconds, then bright for six."""
    gray = "color=0x303030:s=640x360:r=5:d=10,drawbox=color=0xC0C0C0:t=fill:enable='gte(t,4)'"
    options = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "5")
    return generated(tmp_path_factory.mktemp("gray") / "gray.mp4", gray, "", *options)


@pytest.mark.parametrize("ops", ["frame", "clip:3,frame", "speed:2,frame"])
async def test_the_representative_frame_is_one_of_the_most_common(
    studio: Studio, gray: Path, ops: str
) -> None:
    seen = shown(await studio.make(gray, ops))
    assert (seen.width, seen.height) == (640, 360)
    assert seen.avg() == pytest.approx(0xC0, abs=4)


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five frames per second for ten seconds, each brighter. The audio is twenty seconds longer."""
    brighter = "nullsrc=s=64x48:r=5:d=10,geq=lum=20+N:cb=128:cr=128"
    codecs = ("-c:v", "libx264", "-crf", "5", "-c:a", "aac")
    return generated(tmp_path_factory.mktemp("talk") / "talk.mp4", brighter, "sine=d=30", *codecs)


@pytest.mark.parametrize("ops", ["frame:29", "frame:percent=100", "clip:1:28,frame:20"])
async def test_times_after_the_last_frame_use_that_frame(
    studio: Studio, talk: Path, ops: str
) -> None:
    assert number(shown(await studio.make(talk, ops)).avg()) == pytest.approx(49, abs=1)


async def test_the_representative_frame_is_not_black(studio: Studio, tmp_path: Path) -> None:
    dark = "testsrc2=s=160x120:r=25:d=3,drawbox=color=black:t=fill:enable='lt(t,2)'"
    options = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "10")
    path = generated(tmp_path / "dark.mp4", dark, "", *options)
    assert shown(await studio.make(path, "frame:0")).avg() < 5
    assert shown(await studio.make(path, "frame")).avg() > 50


async def test_the_representative_frame_is_not_black_if_every_key_frame_is(
    studio: Studio, tmp_path: Path
) -> None:
    fade = "testsrc2=s=160x120:r=25:d=3,fade=in:0:50"
    options = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "250", "-pix_fmt", "yuv420p")
    path = generated(tmp_path / "fade.mp4", fade, "", *options)
    assert shown(await studio.make(path, "frame:0")).avg() < 5
    assert shown(await studio.make(path, "frame")).avg() > 50


async def test_the_representative_frame_of_a_black_video_is_black(
    studio: Studio, tmp_path: Path
) -> None:
    path = generated(tmp_path / "black.mp4", "color=black:s=64x48:r=25:d=1")
    assert shown(await studio.make(path, "frame")).avg() < 5


@pytest.mark.parametrize("ops", ["transcode", "frames", "storyboard", "preview"])
async def test_a_video_that_cannot_be_decoded_is_corrupt(
    studio: Studio, ordinary: Path, ops: str
) -> None:
    """The frames are removed after inspection."""
    data = ordinary.read_bytes()
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    path = studio.folder / "broken.mp4"
    path.write_bytes(data[:start] + bytes(end - start) + data[end:])
    info = VideoInfo(width=160, height=120, duration_seconds=2.0, frame_rate=25.0)
    with pytest.raises(InvalidArgument) as refused:
        await studio.known(path, ops, info)
    assert refused.value.reason == "MEDIA_CORRUPT"


@pytest.mark.parametrize(
    ("name", "audio"), [("one.wmv", ""), ("still.wmv", "sine=d=3"), ("still.avi", "sine=d=3")]
)
async def test_a_video_of_one_frame_shows_it_in_every_operation(
    studio: Studio, tmp_path: Path, name: str, audio: str
) -> None:
    """In WMV, a single frame has no duration and no frame rate."""
    options = ("-c:v", "wmv2" if name.endswith("wmv") else "mpeg4")
    path = generated(tmp_path / name, "color=white:s=64x48:r=25:d=0.04", audio, *options)
    info = (await studio.inspector.inspect(path, "VIDEO", TYPES[path.suffix])).info
    assert info.frame_rate == (0 if name.endswith("wmv") else 25)
    for ops in ("frame", "frame:2", "storyboard:2", "preview"):
        assert shown(await studio.make(path, ops)).avg() > 230, ops
    assert frame_at(await studio.make(path, "transcode"), 0).avg() > 230


async def test_a_storyboard_of_less_than_half_a_second_has_a_frame(
    studio: Studio, tmp_path: Path
) -> None:
    path = generated(tmp_path / "short.mp4", "color=white:s=64x48:r=25:d=0.2")
    assert shown(await studio.make(path, "storyboard")).avg() > 250


@pytest.mark.parametrize("ops", ["frames:1", "storyboard:1"])
async def test_frames_end_when_a_part_of_the_video_cannot_be_decoded(
    studio: Studio, tmp_path: Path, ops: str
) -> None:
    options = ("-c:v", "mjpeg", "-q:v", "3", "-movflags", "faststart")
    path = generated(tmp_path / "a.mov", "testsrc2=s=64x48:r=5:d=10", "sine=d=12", *options)
    assert await studio.make(path, ops)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2].ljust(len(data), b"\0"))
    with pytest.raises(InvalidArgument, match="The last frame of the result ends") as refused:
        await studio.make(path, ops)
    assert refused.value.reason == "MEDIA_CORRUPT"
