"""Fixtures that render videos with real child processes."""

from pathlib import Path

import pytest

from media_service.codecs.av_renderer import AvRenderer
from media_service.codecs.inspector import Inspector
from tests.support.media.videos import Studio, generated


@pytest.fixture
def studio(av_renderer: AvRenderer, inspector: Inspector, tmp_path: Path) -> Studio:
    return Studio(av_renderer, inspector, tmp_path)


@pytest.fixture(scope="session")
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A moving texture with audio: two seconds of 160 × 120 at 25 frames per second."""
    return generated(
        tmp_path_factory.mktemp("video") / "ordinary.mp4",
        "testsrc2=s=160x120:r=25:d=2",
        "sine=440:d=2",
        *("-c:v", "libx264", "-preset", "ultrafast", "-crf", "15", "-c:a", "aac"),
        *("-metadata", "title=secret", "-metadata:s:a:0", "language=eng"),
    )


@pytest.fixture(scope="session")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty seconds at five frames per second with few key frames. Each frame is brighter than
    the one before."""
    return generated(
        tmp_path_factory.mktemp("video") / "counted.mp4",
        "nullsrc=s=64x48:r=5:d=40,geq=lum=20+N:cb=128:cr=128",
        "",
        *("-c:v", "libx264", "-preset", "ultrafast", "-crf", "5", "-g", "60"),
    )
