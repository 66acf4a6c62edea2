"""Metadata is removed from files of every type without changing what they show."""

import io
import random
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from media_service.codecs.strip.plan import plan
from media_service.codecs.strip.stripper import pieces_from, write
from media_service.errors import InvalidArgument
from tests.support.media.icc_profiles import matrix
from tests.support.media.private_files import (
    CREDIT,
    SECRET,
    XMP,
    exif,
    picture,
    private_audio,
    private_jpeg,
    private_png,
    private_video,
    private_webp,
)

ICC = matrix(1.8)


@cache
def video() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return private_video(Path(folder))


@cache
def avif() -> bytes:
    file = io.BytesIO()
    picture().save(file, "AVIF", exif=exif(6), xmp=XMP)
    return file.getvalue()


@cache
def song(extension: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return private_audio(Path(folder), extension)


SAMPLES: Mapping[str, Callable[[], bytes]] = {
    "image/jpeg": private_jpeg,
    "image/png": private_png,
    "image/webp": private_webp,
    "image/avif": avif,
    "video/quicktime": video,
    "audio/mpeg": partial(song, "mp3"),
    "audio/flac": partial(song, "flac"),
    "audio/wav": partial(song, "wav"),
}


def stripped(data: bytes, content_type: str, folder: Path) -> bytes:
    source, target = folder / "source", folder / "target"
    source.write_bytes(data)
    with source.open("rb") as file:
        answer = plan(file.fileno(), content_type)
    write(source, pieces_from(answer, len(data), content_type), target)
    result = target.read_bytes()
    assert SECRET.encode() not in result
    assert CREDIT.encode() not in result
    return result


@pytest.mark.parametrize(
    ("made", "content_type"),
    [(private_jpeg, "image/jpeg"), (private_png, "image/png"), (private_webp, "image/webp")],
)
@pytest.mark.parametrize("orientation", [1, 6])
def test_images_keep_pixels_orientation_and_profile(
    made: Callable[[int, bytes], bytes], content_type: str, orientation: int, tmp_path: Path
) -> None:
    data = made(orientation, ICC)
    with Image.open(io.BytesIO(data)) as before:
        after = Image.open(io.BytesIO(stripped(data, content_type, tmp_path)))
        shown = [ImageOps.exif_transpose(image) for image in (before, after)]
        assert shown[0].tobytes() == shown[1].tobytes()
        assert shown[1].size == ((48, 64) if orientation == 6 else (64, 48))
        assert after.info["icc_profile"] == ICC
        assert set(after.getexif()) <= {0x0112}


def test_animations_keep_frames_and_loops(tmp_path: Path) -> None:
    file = io.BytesIO()
    frames = [picture("teal"), picture("navy")]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], loop=3, comment=SECRET)
    after: Any = Image.open(io.BytesIO(stripped(file.getvalue(), "image/gif", tmp_path)))
    assert (after.n_frames, after.info["loop"], "comment" in after.info) == (2, 3, False)


def frames_of(data: bytes, folder: Path) -> str:
    path = folder / "media"
    path.write_bytes(data)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path)]
    command += ["-map", "0:v?", "-map", "0:a?", "-f", "framemd5", "-"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_videos_keep_frames_and_sound(tmp_path: Path) -> None:
    data = video()
    after = stripped(data, "video/quicktime", tmp_path)
    assert len(after) == len(data)
    assert frames_of(after, tmp_path) == frames_of(data, tmp_path)


@pytest.mark.parametrize(
    ("extension", "content_type"),
    [("mp3", "audio/mpeg"), ("flac", "audio/flac"), ("wav", "audio/wav"), ("m4a", "audio/mp4")],
)
def test_audio_keeps_its_sound(extension: str, content_type: str, tmp_path: Path) -> None:
    data = song(extension)
    assert SECRET.encode() in data
    after = stripped(data, content_type, tmp_path)
    assert frames_of(after, tmp_path) == frames_of(data, tmp_path)


def test_items_of_heif_and_avif_are_overwritten(tmp_path: Path) -> None:
    data = avif()
    assert SECRET.encode() in data
    after = stripped(data, "image/avif", tmp_path)
    shown = [Image.open(io.BytesIO(each)).convert("RGB").tobytes() for each in (data, after)]
    assert shown[0] == shown[1]


def test_what_cannot_be_stripped_is_refused(tmp_path: Path) -> None:
    files = {
        "application/pdf": b"%PDF-1.7",
        "image/jpeg": b"\xff\xd8\xff\xe1",
        "image/png": b"\x89",
    }
    for content_type, data in files.items():
        with pytest.raises(InvalidArgument, match="removes the metadata"):
            stripped(data, content_type, tmp_path)


@given(st.sampled_from(sorted(SAMPLES)), st.randoms(use_true_random=False))
def test_broken_files_are_refused_or_stripped(content_type: str, dice: random.Random) -> None:
    data = bytearray(SAMPLES[content_type]())
    for _ in range(dice.randint(0, 8)):
        data[dice.randrange(len(data))] = dice.randrange(256)
    with tempfile.TemporaryFile() as file:
        file.write(data[: dice.randint(0, len(data))])
        file.flush()
        plan(file.fileno(), content_type)
