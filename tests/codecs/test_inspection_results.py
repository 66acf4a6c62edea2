"""A child's answer is validated, because a hostile file may have forged it."""

from typing import Any

import pytest

from media_service.codecs.demuxers import DEMUXERS
from media_service.codecs.inspect import exif, names, tracks
from media_service.codecs.inspect.limits import MAX_INT32, count
from media_service.codecs.inspection import (
    INFOS,
    AudioInfo,
    Chapter,
    Info,
    Inspection,
    SubtitleTrack,
    VideoInfo,
    info_from_json,
    to_json,
    validated,
)
from media_service.errors import InvalidArgument, Reason

AUDIO_INFO: dict[str, Any] = {
    "duration_seconds": 1.5,
    "audio_codec": "mp3",
    "audio_channels": 2,
    "audio_sample_rate_hz": 44100,
    "bit_rate_kbps": 128,
    "container": "mp3",
}
CHAPTER = {"start_seconds": 0.0, "end_seconds": 1.0, "title": "One"}
TRACK = {"codec": "ass", "text": True, "language": "", "title": ""}


def answer(private: Any = None, **changes: Any) -> dict[str, Any]:
    info = {**AUDIO_INFO, **changes}
    return {"info": info, "private_info": private or {}, "content_type": "audio/mpeg"}


def video_answer(**changes: Any) -> dict[str, Any]:
    info = {"duration_seconds": 1.5, "dynamic_range": "HDR_PQ", **changes}
    return {"info": info, "private_info": {}, "content_type": "video/mp4"}


def audio(given: Any) -> Inspection[Info]:
    return validated(given, "AUDIO", "audio/mpeg")


def video(given: Any) -> Inspection[Info]:
    return validated(given, "VIDEO", "video/mp4")


def test_a_valid_answer_becomes_an_inspection() -> None:
    assert audio(answer()) == Inspection(info=AudioInfo(**AUDIO_INFO), content_type="audio/mpeg")


def test_a_valid_answer_about_a_video_becomes_an_inspection() -> None:
    found = video(video_answer(subtitle_tracks=[TRACK], chapters=[CHAPTER]))
    assert found.info == VideoInfo(
        duration_seconds=1.5,
        dynamic_range="HDR_PQ",
        subtitle_tracks=(SubtitleTrack(codec="ass", text=True),),
        chapters=(Chapter(start_seconds=0.0, end_seconds=1.0, title="One"),),
    )


def test_an_answer_may_be_about_a_type_that_the_first_bytes_do_not_tell_apart() -> None:
    found = video({**answer(), "content_type": "audio/mp4"})
    assert found == Inspection(info=AudioInfo(**AUDIO_INFO), content_type="audio/mp4")
    assert audio({**answer(), "content_type": "audio/flac"}).content_type == "audio/flac"


def test_unknown_fields_are_dropped() -> None:
    assert audio(answer({"note": "x"}, owner="me")) == audio(answer())


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {"private_info": {}},
        {**answer(), "content_type": ""},
        {**answer(), "content_type": None},
        {**answer(), "content_type": []},
        {**answer(), "content_type": "video/mp4"},
        {**answer(), "content_type": "text/html"},
        answer(audio_channels="two"),
        answer(audio_channels=True),
        answer(audio_channels=2**31),
        answer(bit_rate_kbps=-5),
        answer(duration_seconds=float("inf")),
        answer(duration_seconds=float("nan")),
        answer(duration_seconds=10**400),
        answer(container=["mp3"]),
        answer(container="mp3\0"),
        answer(container="x" * 1001),
        answer(tags={f"tag{n}": "x" for n in range(201)}),
        answer({"location": {"latitude": 1.0}}),
        answer({"exif": ["Model"]}),
        answer({"exif": {"Model": 1}}),
        answer({"exif": {"Model": "\ud800"}}),
        answer({"exif": {"Mo\0del": "X100"}}),
        answer({"exif": {"Model": "x" * 1001}}),
        answer({"exif": {"x" * 101: "X100"}}),
        answer({"exif": {f"Tag{n}": "x" for n in range(201)}}),
        {**answer(), "capture_time": "yesterday"},
        {**answer(), "capture_time": "2026-01-02T03:04:05"},
    ],
)
def test_an_invalid_answer_is_rejected(wrong: Any) -> None:
    with pytest.raises(InvalidArgument) as error:
        audio(wrong)
    assert error.value.reason is Reason.MEDIA_CORRUPT


@pytest.mark.parametrize(
    "wrong",
    [
        video_answer(dynamic_range="BRIGHT"),
        video_answer(dynamic_range=["SDR"]),
        video_answer(variable_frame_rate=1),
        video_answer(chapters={}),
        video_answer(chapters=[None]),
        video_answer(chapters=[{"start_seconds": 0.0, "title": "One"}]),
        video_answer(chapters=[{**CHAPTER, "start_seconds": "0"}]),
        video_answer(chapters=[{**CHAPTER, "title": "x" * 201}]),
        video_answer(chapters=[CHAPTER] * 501),
        video_answer(audio_tracks="aac"),
        video_answer(subtitle_tracks=[{**TRACK, "text": "yes"}]),
        video_answer(subtitle_tracks=[{**TRACK, "language": "x" * 36}]),
        video_answer(subtitle_tracks=[TRACK] * 101),
    ],
)
def test_an_invalid_answer_about_a_video_is_rejected(wrong: Any) -> None:
    with pytest.raises(InvalidArgument) as error:
        video(wrong)
    assert error.value.reason is Reason.MEDIA_CORRUPT


def test_media_info_survives_a_round_trip_through_the_database() -> None:
    info = video(video_answer(audio_tracks=[{"codec": "aac"}], width=8)).info
    stored = to_json(info)
    assert stored == {
        "duration_seconds": 1.5,
        "dynamic_range": "HDR_PQ",
        "audio_tracks": ({"codec": "aac"},),
        "width": 8,
    }
    assert info_from_json(stored, "VIDEO") == info


@pytest.mark.parametrize("kind", INFOS)
def test_a_child_cleans_its_metadata(kind: str) -> None:
    """Unusual metadata is shortened, so that the file is not rejected for it."""
    fields = {f"exif-ifd0-Tag{n}": "a\0b\ud800c" * 1000 for n in range(300)}
    tags = exif.public_tags(fields)
    assert len(tags) == 200
    assert tags["Tag0"] == ("abc" * 1000)[:1000]
    least: dict[str, Any] = {"IMAGE": {"width": 1, "height": 1}, "DOCUMENT": {}}
    info = least.get(kind, {"duration_seconds": 0.0})
    found = {"info": info, "private_info": {"exif": tags}, "content_type": "a/b"}
    validated(found, kind, "a/b")


def test_a_child_clamps_numbers_to_the_bounds_of_the_contract() -> None:
    assert [count(number) for number in (-5, 2, 2**70)] == [0, 2, MAX_INT32]


def test_every_video_and_audio_type_has_a_container_name() -> None:
    assert names.CONTAINERS.keys() == DEMUXERS.keys()


@pytest.mark.parametrize(
    ("ffmpeg_name", "codec", "bit_depth"),
    [
        ("h264", "h264", 0),
        ("pcm_s16le", "pcm", 16),
        ("pcm_f32be", "pcm", 32),
        ("pcm_bluray", "pcm", 0),
        ("pcm_mulaw", "ulaw", 0),
        ("adpcm_ima_wav", "adpcm", 0),
        ("mpeg2video", "mpeg2", 0),
        ("amr_nb", "amr_nb", 0),
        ("", "", 0),
    ],
)
def test_codecs_have_their_usual_names(ffmpeg_name: str, codec: str, bit_depth: int) -> None:
    assert (names.codec(ffmpeg_name), names.bit_depth(ffmpeg_name)) == (codec, bit_depth)


def test_text_subtitle_codecs_have_their_reported_names() -> None:
    assert {names.codec(name) for name in tracks.TEXT_CODECS} == tracks.TEXT_CODECS
