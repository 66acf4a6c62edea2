"""Images beyond a limit and broken images fail without affecting others."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import pyvips

from media_service.codecs.image.source import ImageSource
from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.memory_budget import MemoryBudget
from media_service.codecs.memory_estimate import estimate_memory
from media_service.codecs.pipeline.pipeline import stored_pipeline
from media_service.codecs.pipeline.sizes import trace_sizes
from media_service.codecs.pipeline.validation import parsed_pipeline
from media_service.codecs.sandbox.forks import ForkServer
from media_service.errors import DataLoss, Reason
from tests.support.long_form import examples
from tests.support.media.images import corners, four, look, refusal, render, source


@pytest.fixture
async def small(fork_server: ForkServer) -> AsyncIterator[ImageRenderer]:
    """A renderer with a limit of a million pixels."""
    async with ImageRenderer(fork_server, 1, 1_000_000, 1 << 24) as renderer:
        yield renderer


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    corners(400, 300).write_to_file(str(path))
    return path


async def test_an_image_above_the_pixel_limit_is_not_opened(
    small: ImageRenderer, photo: Path
) -> None:
    recorded = replace(source(photo), width=40_000)
    assert await refusal(small, recorded, "resize:10x") is Reason.PROCESSING_LIMIT_EXCEEDED


async def test_a_size_that_differs_from_the_recorded_one_is_detected(
    small: ImageRenderer, tmp_path: Path
) -> None:
    """The recorded size of the image differs from the size in the file."""
    path = tmp_path / "bomb.png"
    pyvips.Image.black(20_000, 20_000).write_to_file(str(path), compression=1)
    recorded = ImageSource(path, "image/png", 10, 10, 1)
    for pipeline in ("", "resize:10x"):
        assert await refusal(small, recorded, pipeline) is Reason.PROCESSING_LIMIT_EXCEEDED


async def test_the_pixel_limit_counts_all_frames(small: ImageRenderer, tmp_path: Path) -> None:
    frames = [(pyvips.Image.black(400, 300) + 20 * n).cast("uchar") for n in range(9)]
    strip = pyvips.Image.arrayjoin(frames, across=1).copy()
    strip.set_type(pyvips.GValue.gint_type, "page-height", 300)
    path = tmp_path / "long.gif"
    strip.write_to_file(str(path))
    recorded_source = source(path)
    assert recorded_source.frames == 9
    for recorded in (recorded_source, replace(recorded_source, frames=1)):
        assert await refusal(small, recorded, "convert:GIF") is Reason.PROCESSING_LIMIT_EXCEEDED


@pytest.mark.parametrize("suffix", ["gif", "webp"])
@pytest.mark.parametrize(("target", "frames"), [("GIF", 9), ("WEBP", 9), ("JPEG", 1)])
async def test_an_animation_above_the_limit_is_scaled_down_or_shows_its_first_frame(
    small: ImageRenderer, tmp_path: Path, suffix: str, target: str, frames: int
) -> None:
    shots = [corners(400, 300).linear(1 - n / 20, 0).cast("uchar") for n in range(9)]
    strip = pyvips.Image.arrayjoin(shots, across=1).copy()
    strip.set_type(pyvips.GValue.gint_type, "page-height", 300)
    strip.write_to_file(str(path := tmp_path / f"long.{suffix}"))
    _, data = await render(small, path, f"resize:100x,convert:{target}")
    made = pyvips.Image.new_from_buffer(data, "", **({"n": -1} if frames > 1 else {}))
    assert (made.width, made.height) == (100, 75 * frames)
    for number in range(frames):
        assert four(made.crop(0, 75 * number, 100, 75)) == "rgbw"
    if frames == 1:
        _, data = await render(small, path, f"convert:{target}")
        assert pyvips.Image.new_from_buffer(data, "").width == 400


@pytest.mark.parametrize(
    "pipeline",
    [
        "resize:16000x16000:fit=FILL:enlarge",
        "resize:16000x16000:fit=CONTAIN",
        "pad:4000",
        "resize:1000x:enlarge,resize:4000x:enlarge,rotate:45",
        "resize:990x:enlarge,rotate:90,pad:2000,trim",
    ],
)
async def test_a_result_too_large_is_refused(
    small: ImageRenderer, photo: Path, pipeline: str
) -> None:
    assert await refusal(small, photo, pipeline) is Reason.PROCESSING_LIMIT_EXCEEDED


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "tiff", "avif"])
async def test_a_truncated_image_is_corrupt_and_the_next_is_rendered(
    small: ImageRenderer, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"cut.{suffix}"
    noise = pyvips.Image.gaussnoise(400, 300, mean=128, sigma=40).cast("uchar")
    noise.write_to_file(str(path))
    recorded = source(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert await refusal(small, recorded, "rotate:90") is Reason.MEDIA_CORRUPT
    whole = tmp_path / "whole.png"
    corners().write_to_file(str(whole))
    assert (await look(small, whole)).width == 80


async def test_bytes_of_another_type_are_not_decoded(small: ImageRenderer, photo: Path) -> None:
    recorded = replace(source(photo), content_type="image/webp")
    assert await refusal(small, recorded, "") is Reason.MEDIA_CORRUPT


async def test_missing_bytes_are_data_loss(small: ImageRenderer, photo: Path) -> None:
    recorded = source(photo)
    photo.unlink()
    with pytest.raises(DataLoss):
        async with small.render(recorded, stored_pipeline("")):
            pass


async def test_cancelling_kills_the_child_and_another_replaces_it(
    fork_server: ForkServer, tmp_path: Path, photo: Path
) -> None:
    path = tmp_path / "slow.png"
    noise = pyvips.Image.gaussnoise(1000, 900).cast("uchar")
    noise.write_to_file(str(path))
    others = renderers()
    async with ImageRenderer(fork_server, 1, 1_000_000, 1 << 24) as renderer:
        await render(renderer, photo)
        [child] = renderers() - others
        slow = asyncio.create_task(render(renderer, path, "blur:200,convert:AVIF:effort=9"))
        used = child.cpu_times().user
        async with asyncio.timeout(20):
            while child.cpu_times().user < used + 0.3:  # it is rendering
                await asyncio.sleep(0.01)
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        assert not psutil.pid_exists(child.pid)
        assert (await render(renderer, photo))[0] == "image/png"


def renderers() -> set[psutil.Process]:
    """The children of all renderers in this process."""
    children = psutil.Process().children(recursive=True)
    return {child for child in children if child.name() == "media-child"}


async def test_a_child_that_opened_an_svg_serves_no_other_render(
    fork_server: ForkServer, tmp_path: Path, photo: Path
) -> None:
    drawing = tmp_path / "drawing.svg"
    drawing.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    others = renderers()
    async with ImageRenderer(fork_server, 1, 1_000_000, 1 << 24) as renderer:
        await render(renderer, photo, "resize:9x")
        first = renderers() - others
        await render(renderer, photo, "resize:9x")
        assert renderers() - others == first
        await render(renderer, drawing, "convert:PNG")
        assert renderers() == others
        await render(renderer, photo, "resize:9x")
        assert len(renderers() - others) == 1


async def test_repeated_renders_do_not_grow_memory(fork_server: ForkServer, tmp_path: Path) -> None:
    corners(1000, 900).write_to_file(str(path := tmp_path / "large.png"))
    others = renderers()
    async with ImageRenderer(fork_server, 1, 1_000_000, 1 << 24) as renderer:
        sizes = []
        for _ in range(3):
            for _ in range(examples(10, 60)):
                await render(renderer, path, "resize:200x,blur:2,rotate:10,convert:WEBP")
            [child] = renderers() - others
            sizes.append(child.memory_info().rss)
    # The heap fluctuates by 20 MiB. A leak of 20 decoded images would be 51 MiB.
    assert sizes[2] < sizes[0] + (32 << 20)


async def test_the_memory_budget_is_granted_in_order() -> None:
    budget = MemoryBudget(10)
    order = []

    async def take(name: str, amount: int, until: asyncio.Event) -> None:
        async with budget.reserve(amount):
            order.append(name)
            await until.wait()

    first, rest = asyncio.Event(), asyncio.Event()
    rest.set()
    holder = asyncio.create_task(take("holder", 6, first))
    await asyncio.sleep(0)
    waiting = [
        asyncio.create_task(take(name, amount, rest))
        for name, amount in (("given up", 9), ("large", 100), ("small", 1))
    ]
    await asyncio.sleep(0)
    assert order == ["holder"], "the small one does not overtake for ever"
    waiting[0].cancel()
    first.set()
    await asyncio.gather(holder, *waiting, return_exceptions=True)
    assert order == ["holder", "large", "small"]


@pytest.mark.parametrize(
    "pipeline",
    [
        "resize:3000x2000:fit=FILL:enlarge,flip:VERTICAL,flip:VERTICAL,convert:JPEG",
        "resize:3000x2000:fit=FILL:enlarge,rotate:90,flip:BOTH,convert:JPEG:chroma=FULL",
        "resize:4000x:enlarge,convert:AVIF:effort=0",
        "resize:2500x2500:fit=COVER:gravity=ENTROPY:enlarge,convert:WEBP",
        "resize:2000x2000:fit=CONTAIN,convert:GIF",
        "pad:1200,compress:max_size_bytes=100000000,convert:PNG",
        "trim,resize:2500x2000:fit=FILL:enlarge,flip:VERTICAL,convert:JPEG",
        "text:tiled:tile:margin=1500,convert:PNG",
    ],
)
async def test_the_memory_estimate_is_an_upper_bound(
    fork_server: ForkServer, tmp_path: Path, photo: Path, pipeline: str
) -> None:
    """A small file may become a large image. Its child uses no more memory than estimated."""
    original = source(photo)
    parsed = parsed_pipeline(pipeline)
    trace = trace_sizes(parsed, (original.width, original.height))
    estimated = estimate_memory(original, [], trace, [parsed.format or "PNG"])
    others = renderers()
    async with ImageRenderer(fork_server, 1, 20_000_000, 1 << 30) as renderer:
        # Line buffers, whose size does not depend on the image.
        await render(renderer, photo, "negate,convert:JPEG")
        [child] = renderers() - others
        before = peak(child)
        await render(renderer, photo, pipeline)
        grown = peak(child) - before
    assert grown < estimated + LINES
    assert estimated < 4 * grown + LINES, "and not much more than it takes"


# Memory in addition to the image: a few hundred lines for each thread and step.
LINES = 48 << 20


def peak(child: psutil.Process) -> int:
    status = Path(f"/proc/{child.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10


@pytest.mark.parametrize(
    "pipeline",
    [
        "resize:333x",
        "resize:x77:dpr=1.3,rotate:90",
        "resize:1999x500:fit=COVER:enlarge,crop:77x99",
        "resize:1000x1000:fit=COVER",
        "resize:9x1000:fit=OUTSIDE,resize:700x:enlarge",
        "resize:500x100:fit=CONTAIN,pad:3:5:7",
        "crop:100x100:x=350:y=10,rotate:33,resize:640x480:fit=FILL:enlarge",
        "resize:10x10,rotate:180,pad:1,resize:x800:enlarge",
        "trim:0,resize:800x600:enlarge",
        "rotate:12.5,flip,blur:2,rotate:270",
    ],
)
async def test_the_predicted_size_is_an_upper_bound(
    renderer: ImageRenderer, photo: Path, pipeline: str
) -> None:
    recorded = trace_sizes(parsed_pipeline(pipeline), (400, 300))
    image = await look(renderer, photo, pipeline)
    smooth = 4 if "33" in pipeline or "12.5" in pipeline else 0
    for side, actual in zip(recorded.size, (image.width, image.height), strict=True):
        assert actual <= side <= actual + (smooth if recorded.exact else 1000)


async def test_a_render_whose_result_would_be_too_large_is_not_started(
    fork_server: ForkServer, tmp_path: Path
) -> None:
    path = tmp_path / "one.png"
    pyvips.Image.black(1, 1).write_to_file(str(path))
    others = renderers()
    async with ImageRenderer(
        fork_server, 1, 1 << 30, 1 << 30, max_output_pixels=1_000_000
    ) as renderer:
        await render(renderer, path, "resize:1000x1000:fit=FILL:enlarge")
        [child] = renderers() - others
        used = child.cpu_times().user
        for pipeline in (
            "resize:1001x1000:fit=FILL:enlarge",
            "resize:16384x16384:fit=FILL:enlarge,compress",
            "resize:900x900:fit=FILL:enlarge,pad:100,crop:10x10",
        ):
            reason = await refusal(renderer, path, pipeline)
            assert reason is Reason.PROCESSING_LIMIT_EXCEEDED
        assert child.cpu_times().user == used
