"""A child's answer is not trusted: a hostile file may have written it."""

from typing import Any

import pytest

from media_service.codecs.inspection import checked
from media_service.errors import InvalidArgument

AUDIO_INFO = {
    "duration_seconds": 1.5,
    "audio_codec": "mp3",
    "audio_channels": 2,
    "audio_sample_rate_hz": 44100,
    "bit_rate_bps": 128000,
    "container": "mp3",
}


def answer(private: Any = None, **changes: Any) -> dict[str, Any]:
    return {"info": {**AUDIO_INFO, **changes}, "private_info": private or {}}


def test_an_honest_answer_is_kept() -> None:
    assert checked(answer(), "AUDIO").info == AUDIO_INFO


def test_unknown_fields_are_dropped() -> None:
    assert checked(answer({"note": "x"}, owner="me"), "AUDIO") == checked(answer(), "AUDIO")


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {"info": AUDIO_INFO},
        answer(audio_channels="two"),
        answer(audio_channels=True),
        answer(duration_seconds=float("inf")),
        answer(duration_seconds=10**400),
        answer(container=["mp3"]),
        answer({"location": {"latitude": 1.0}}),
        answer({"exif": ["Model"]}),
        answer({"exif": {"Model": 1}}),
    ],
)
def test_a_wrong_answer_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidArgument):
        checked(wrong, "AUDIO")


VIDEO_INFO = {
    "dynamic_range": "HDR_PQ",
    "subtitle_tracks": [{"codec": "ass", "text": True, "language": "", "title": ""}],
    "chapters": [{"start_seconds": 0.0, "end_seconds": 1.0, "title": "One"}],
}


def video_answer(**changes: Any) -> dict[str, Any]:
    return {"info": {**VIDEO_INFO, **changes}, "private_info": {}}


def test_a_valid_answer_about_a_video_is_kept() -> None:
    assert checked(video_answer(), "VIDEO").info == VIDEO_INFO


@pytest.mark.parametrize(
    "wrong",
    [
        video_answer(dynamic_range="BRIGHT"),
        video_answer(dynamic_range=["SDR"]),
        video_answer(variable_frame_rate=1),
        video_answer(chapters={}),
        video_answer(chapters=[None]),
        video_answer(chapters=[{"start_seconds": 0.0, "end_seconds": 1.0}]),
        video_answer(chapters=[{"start_seconds": "0", "end_seconds": 1.0, "title": ""}]),
        video_answer(audio_tracks="aac"),
        video_answer(
            subtitle_tracks=[{"codec": "ass", "text": "yes", "language": "", "title": ""}]
        ),
    ],
)
def test_an_invalid_answer_about_a_video_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidArgument):
        checked(wrong, "VIDEO")


def test_lists_and_their_texts_are_bounded() -> None:
    chapter = {"start_seconds": 0.0, "end_seconds": 1.0, "title": "\0" + "x" * 999, "note": "x"}
    track = {"codec": "ass", "text": True, "language": "x" * 99, "title": "x" * 999}
    long = video_answer(chapters=[chapter] * 999, subtitle_tracks=[track] * 999)
    info = checked(long, "VIDEO").info
    assert len(info["chapters"]) == 500
    assert info["chapters"][0] == {"start_seconds": 0.0, "end_seconds": 1.0, "title": "x" * 200}
    assert len(info["subtitle_tracks"]) == 100
    assert len(info["subtitle_tracks"][0]["language"]) == 35
    tags = checked(answer(tags={f"tag{n}": "x" for n in range(300)}), "AUDIO").info["tags"]
    assert len(tags) == 200


def test_numbers_fit_the_contract() -> None:
    info = checked(answer(audio_channels=2**70, bit_rate_bps=-5), "AUDIO").info
    assert info["audio_channels"] == 2**31 - 1
    assert info["bit_rate_bps"] == 0


def test_text_fits_the_database() -> None:
    exif = {f"Tag{n}": "a\0b\ud800c" * 1000 for n in range(300)}
    kept = checked(answer({"exif": exif}), "AUDIO").private_info["exif"]
    assert len(kept) == 200
    assert kept["Tag0"] == ("abc" * 1000)[:1000]
