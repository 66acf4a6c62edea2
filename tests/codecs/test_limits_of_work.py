"""Files that cost more than their size suggests are refused early, or end at a limit of their
class of work, which the error names."""

from dataclasses import replace
from pathlib import Path

import pytest

from media_service.codecs.image_renderer import ON_DEMAND_MAX_PIXELS, ImageRenderer
from media_service.codecs.inspection import AudioInfo
from media_service.codecs.inspector import Inspector
from media_service.codecs.limits import MAX_ELEMENTS, MAX_PAGES, ON_DEMAND_LIMITS, av_limits
from media_service.codecs.sandbox.forks import ForkServer
from media_service.codecs.sandbox.pool import Sandbox
from media_service.codecs.video.source import AvSource
from media_service.errors import MediaError, Reason
from tests.support import hostile_tasks
from tests.support.media import starving_files
from tests.support.media.images import render
from tests.support.sandbox import LIMITS, TASKS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.png"


@pytest.mark.parametrize(
    ("content_type", "data", "limit", "value"),
    [
        ("image/tiff", starving_files.tiff(MAX_PAGES + 1), "pages", MAX_PAGES),
        ("image/webp", starving_files.webp(MAX_PAGES + 1), "pages", MAX_PAGES),
        ("image/gif", starving_files.gif(MAX_PAGES + 1), "pages", MAX_PAGES),
        ("image/svg+xml", starving_files.svg(MAX_ELEMENTS + 1), "elements", MAX_ELEMENTS),
    ],
    ids=["tiff", "webp", "gif", "svg"],
)
async def test_inspection_counts_pages_and_elements_before_it_decodes_them(
    inspector: Inspector, path: Path, content_type: str, data: bytes, limit: str, value: int
) -> None:
    path.write_bytes(data)
    with pytest.raises(MediaError) as error:
        await inspector.inspect(path, "IMAGE", content_type)
    assert error.value.reason is Reason.INSPECTION_LIMIT_EXCEEDED
    assert error.value.metadata == {"limit": limit, "value": str(value)}


@pytest.mark.parametrize(
    ("data", "limit"),
    [
        (starving_files.nested_svg(300), "nested_elements"),
        (starving_files.layered_svg(300), "nested_layers"),
    ],
    ids=["elements", "layers"],
)
async def test_a_drawing_that_reaches_a_limit_of_its_library_is_not_called_damaged(
    inspector: Inspector, path: Path, data: bytes, limit: str
) -> None:
    path.write_bytes(data)
    with pytest.raises(MediaError) as error:
        await inspector.inspect(path, "IMAGE", "image/svg+xml")
    assert error.value.reason is Reason.INSPECTION_LIMIT_EXCEEDED
    assert error.value.metadata["limit"] == limit
    assert "damaged" not in error.value.message


async def test_the_pages_of_a_tiff_are_opened_once(inspector: Inspector, path: Path) -> None:
    """One by one, a thousand pages exceed the time limit."""
    path.write_bytes(starving_files.tiff(1000))
    assert (await inspector.inspect(path, "IMAGE", "image/tiff")).info.page_count == 1000


async def test_a_render_on_demand_has_a_limited_number_of_rows(
    fork_server: ForkServer, path: Path
) -> None:
    rows = 10_000_000
    path.write_bytes(starving_files.tall_png(rows))
    async with ImageRenderer(
        fork_server,
        1,
        rows,
        1 << 28,
        limits=ON_DEMAND_LIMITS,
        max_output_pixels=ON_DEMAND_MAX_PIXELS,
    ) as renderer:
        with pytest.raises(MediaError) as error:
            await render(renderer, path, "resize:10x")
    assert error.value.reason is Reason.PROCESSING_LIMIT_EXCEEDED
    assert error.value.metadata["limit"] == "rows"


def test_audio_with_few_samples_per_second_is_refused(path: Path) -> None:
    info = AudioInfo(duration_seconds=500_000, audio_codec="pcm", audio_sample_rate_hz=1)
    with pytest.raises(MediaError) as error:
        AvSource.of(path, "audio/wav", info)
    assert error.value.reason is Reason.PROCESSING_LIMIT_EXCEEDED
    assert error.value.metadata == {"limit": "sample_rate_hz", "value": "1000"}


def test_video_may_take_longer_the_longer_and_larger_it_is() -> None:
    gib = 1 << 30
    minute = av_limits(60, 1920 * 1080, gib)
    assert minute.cpu_seconds < av_limits(120, 1920 * 1080, gib).cpu_seconds
    assert minute.cpu_seconds < av_limits(60, 3840 * 2160, gib).cpu_seconds
    assert av_limits(60, 0, gib).cpu_seconds < 300


def test_a_header_that_claims_a_long_duration_allows_no_more_time() -> None:
    """video_1fph.mp4 claims 139 hours in 5 KB."""
    assert av_limits(500_400, 16 * 16, 5153).wall_seconds < 600


async def test_a_task_can_have_a_shorter_time_than_its_pool(
    fork_server: ForkServer, path: Path
) -> None:
    path.write_bytes(b"")
    short = replace(LIMITS, cpu_seconds=1)
    async with Sandbox(fork_server, TASKS, replace(LIMITS, cpu_seconds=600), 1, 1) as sandbox:
        with pytest.raises(MediaError) as error:
            await sandbox.run(f"{hostile_tasks.__name__}:loop_forever", path, limits=short)
    assert error.value.metadata == {"limit": "cpu_seconds", "value": "1"}
