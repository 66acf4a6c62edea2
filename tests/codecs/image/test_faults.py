"""Failures are attributed to the image, a limit or a bug."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pyvips

from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.limits import IMAGE_LIMITS
from media_service.codecs.sandbox.errors import SandboxBroken
from media_service.codecs.sandbox.forks import ForkServer
from media_service.codecs.sandbox.pool import Sandbox
from media_service.errors import InvalidArgument, Reason
from tests.support import broken_tasks
from tests.support.media.images import corners, look, refusal

TASKS = [f"{broken_tasks.__name__}:{name}" for name in ("bad_graph", "missing_package")]


@pytest.mark.parametrize("task", TASKS)
async def test_a_failure_with_an_intact_image_is_a_bug(
    fork_server: ForkServer, tmp_path: Path, task: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "good.png"
    corners().write_to_file(str(path))
    async with Sandbox(fork_server, TASKS, IMAGE_LIMITS, children=1, tasks_per_child=9) as sandbox:
        with pytest.raises(SandboxBroken):
            await sandbox.run(task, path, content_type="image/png")
    assert [r.levelname for r in caplog.records if "failed in a child process" in r.message] == [
        "ERROR"
    ]


async def test_a_failure_with_a_broken_image_is_blamed_on_the_image(
    fork_server: ForkServer, tmp_path: Path
) -> None:
    path = tmp_path / "cut.png"
    pyvips.Image.gaussnoise(200, 200).cast("uchar").write_to_file(str(path))
    path.write_bytes(path.read_bytes()[:9000])
    async with Sandbox(fork_server, TASKS, IMAGE_LIMITS, children=1, tasks_per_child=9) as sandbox:
        with pytest.raises(InvalidArgument) as refused:
            await sandbox.run(TASKS[0], path, content_type="image/png")
    assert refused.value.reason is Reason.MEDIA_CORRUPT


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("large.jpg", {"interlace": True, "subsample_mode": "off"}),
        ("large.png", {"interlace": True, "compression": 1}),
        ("large.tiff", {"compression": "lzw"}),
    ],
)
async def test_a_lack_of_memory_is_recognized(
    fork_server: ForkServer, tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    """Each library reports a lack of memory with its own message."""
    path = tmp_path / name
    image = pyvips.Image.black(8000, 6000, bands=3).copy(interpretation="srgb")
    image.write_to_file(str(path), **options)
    limits = replace(IMAGE_LIMITS, memory_bytes=400 << 20)
    async with ImageRenderer(fork_server, 1, 50_000_000, 1 << 30, limits=limits) as renderer:
        reason = await refusal(renderer, path, "rotate:degrees=90.0,convert:format=WEBP")
        assert reason is Reason.PROCESSING_LIMIT_EXCEEDED
        small = tmp_path / "small.png"
        corners().write_to_file(str(small))
        assert (await look(renderer, small)).width == 80
