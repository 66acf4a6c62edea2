"""Predicting from a pipeline and the inspection whether a job takes long."""

import pytest

from media_service.codecs.inspection import AudioInfo, DocumentInfo, ImageInfo, Info, VideoInfo
from media_service.codecs.pipeline.route import find_route
from media_service.codecs.pipeline.validation import parsed_pipeline

SHORT, LONG = (
    VideoInfo(duration_seconds=seconds, width=1920, height=1080) for seconds in (60, 3600)
)

CLIP = VideoInfo(duration_seconds=9, width=1920, height=1080)
CLIP_IN_4K = VideoInfo(duration_seconds=9, width=3840, height=2160)


@pytest.mark.parametrize(
    ("kind", "ops", "info", "heavy"),
    [
        ("VIDEO", "stream", None, True),
        ("VIDEO", "transcode", SHORT, True),
        ("VIDEO", "transcode", CLIP, False),
        ("VIDEO", "stream", CLIP, False),
        ("VIDEO", "transcode", CLIP_IN_4K, True),
        ("VIDEO", "transcode", VideoInfo(duration_seconds=0), True),
        ("VIDEO", "storyboard", SHORT, False),
        ("VIDEO", "storyboard", None, False),
        ("VIDEO", "storyboard", LONG, True),
        ("VIDEO", "frame,resize:10x", LONG, False),
        ("AUDIO", "waveform", AudioInfo(duration_seconds=60), False),
        ("AUDIO", "waveform", AudioInfo(duration_seconds=3600), True),
        ("DOCUMENT", "page", DocumentInfo(page_count=9000), False),
        ("DOCUMENT", "extract_text", DocumentInfo(page_count=9), False),
        ("DOCUMENT", "extract_text", DocumentInfo(page_count=9000), True),
        ("IMAGE", "resize:10x", ImageInfo(width=9, height=9), False),
    ],
)
def test_work_on_long_inputs_is_heavy(kind: str, ops: str, info: Info | None, heavy: bool) -> None:
    assert find_route(parsed_pipeline(ops), kind).is_heavy(info) is heavy
