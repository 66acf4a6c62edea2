"""Images rendered in the sandbox, compared with the same libvips in a bare process."""

import asyncio
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyvips

from benchmarks.measure import MIB, Bench
from benchmarks.report import Outcome, Row
from media_service.codecs.image.source import ImageSource
from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.pipeline.pipeline import stored_pipeline
from media_service.codecs.sandbox.forks import ForkServer

SMALL = "resize:300x,convert:WEBP"
TEN = (
    "crop:5900x3900,flip,brightness:1.1,contrast:1.2,saturation:1.3,hue:20,gamma:1.2,sharpen,"
    "resize:2000x,round_corners:40:background=fff,convert:JPEG"
)
PIXELS = 1 << 28
RENDERS = 2000


def photo(path: Path, width: int, height: int) -> Path:
    """Detail at every scale, as in a photograph."""
    bands = []
    for seed in range(3):
        rough = pyvips.Image.perlin(width, height, cell_size=512, seed=seed)
        fine = pyvips.Image.perlin(width, height, cell_size=16, seed=seed + 9)
        grain = pyvips.Image.gaussnoise(width, height, sigma=6, seed=seed)
        bands.append(rough * 90 + fine * 25 + grain + 128)
    image = bands[0].bandjoin(bands[1:]).cast("uchar").copy(interpretation="srgb")
    image.jpegsave(str(path), Q=90)
    return path


def bare_small(path: Path) -> bytes:
    image = pyvips.Image.thumbnail(str(path), 300, height=1 << 20)
    return bytes(image.webpsave_buffer(Q=80, keep="none"))


def bare_ten(path: Path) -> bytes:
    """The same rendering, written by hand with libvips."""
    image = pyvips.Image.new_from_file(str(path), access="sequential")
    image = image.crop(50, 50, 5900, 3900).fliphor()
    lut = pyvips.Image.identity(bands=3)
    lut = lut.linear(1.1, 0).cast("uchar").linear(1.2, -0.1 * 255).cast("uchar")
    image = image.maplut(lut)
    for matrix in (saturation(1.3), hue(20)):
        image = image.recomb(matrix).rint().cast("uchar")
    image = image.maplut(pyvips.Image.identity(bands=3).gamma(exponent=1 / 1.2))
    light = image.recomb([[0.2126, 0.7152, 0.0722]]).rint().cast("uchar")
    image = (image + (light - light.gaussblur(1, precision="integer"))).rint().cast("uchar")
    image = image.resize(2000 / image.width)
    mask = rounded(image.width, image.height, 40)
    image = image.bandjoin(mask).flatten(background=255)
    return bytes(image.jpegsave_buffer(Q=80, keep="none", optimize_coding=True))


def saturation(factor: float) -> list[list[float]]:
    gray = (0.213, 0.715, 0.072)
    return [[g * (1 - factor) + factor * (x == y) for x, g in enumerate(gray)] for y in range(3)]


def hue(degrees: float) -> list[list[float]]:
    """The matrix of W3C Filter Effects."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    gray = (0.213, 0.715, 0.072)
    sine = ((-0.213, -0.715, 0.928), (0.143, 0.140, -0.283), (-0.787, 0.715, 0.072))
    return [
        [g * (1 - c) + c * (x == y) + s * sine[y][x] for x, g in enumerate(gray)] for y in range(3)
    ]


def rounded(width: int, height: int, radius: int) -> Any:
    shape = f'<rect width="{width}" height="{height}" rx="{radius}" fill="#fff"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
    return pyvips.Image.svgload_buffer(f"{head}{shape}</svg>".encode())[3]


async def images(bench: Bench) -> Outcome:
    folder = bench.payload.path.parent
    rounds = 10 if bench.seconds > 5 else 3
    four = photo(folder / "4k.jpg", 3840, 2160)
    large = photo(folder / "24mp.jpg", 6000, 4000)
    pyvips.cache_set_max(0)
    cores = len(os.sched_getaffinity(0))
    pyvips.concurrency_set(cores)
    async with (
        ForkServer() as fork_server,
        ImageRenderer(fork_server, 1, PIXELS, 1 << 31) as renderer,
    ):
        rows = [
            await compared(renderer, four, (3840, 2160), SMALL, bare_small, 3 * rounds, 1.3),
            await compared(renderer, large, (6000, 4000), TEN, bare_ten, rounds, 1.2),
        ]
        used = max(most_held(child.pid) for child in children())
    bare = int(
        subprocess.run(
            [sys.executable, "-m", "benchmarks.images", str(large)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    )
    rows.append(
        Row(
            figure="memory: 10 operations on 24 MP",
            unit="MiB",
            target=None,
            at_most=True,
            measured=used / MIB,
            limit=bare / MIB,
            limit_name="bare pyvips in a process of its own",
        )
    )
    rows.append(await soak(four, RENDERS if bench.seconds > 5 else RENDERS // 10))
    return Outcome(rows, notes=[f"images: libvips {pyvips.version(0)}.{pyvips.version(1)}"])


async def compared(
    renderer: ImageRenderer,
    path: Path,
    size: tuple[int, int],
    pipeline: str,
    bare: Callable[[Path], bytes],
    rounds: int,
    target: float,
) -> Row:
    """Runs alternate, so that other load of the machine affects both."""
    source = ImageSource(path, "image/jpeg", *size, 1)
    ours, theirs = [], []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        async with renderer.render(source, stored_pipeline(pipeline)) as made:
            made.path.read_bytes()
        middle = time.perf_counter()
        bare(path)
        ours.append(middle - begin)
        theirs.append(time.perf_counter() - middle)
    operations_ = pipeline.count(",")
    what = "4K JPEG → 300 px WebP" if operations_ == 1 else f"{operations_} operations on 24 MP"
    return Row(
        figure=f"render: {what}",
        unit="ms",
        target=target,
        at_most=True,
        # The first run of each is a warm-up.
        measured=statistics.median(ours[1:]) * 1000,
        limit=statistics.median(theirs[1:]) * 1000,
        limit_name="bare pyvips in this process",
    )


async def soak(path: Path, renders: int) -> Row:
    """The memory of the children and this process, at the end and after a tenth of the renders."""
    source = ImageSource(path, "image/jpeg", 3840, 2160, 1)
    held = []
    async with (
        ForkServer() as fork_server,
        ImageRenderer(fork_server, 2, PIXELS, 1 << 31) as renderer,
    ):

        async def one(number: int) -> None:
            width = 200 + number % 200
            pipeline = stored_pipeline(f"resize:{width}x,sharpen,rotate:3,convert:WEBP")
            async with renderer.render(source, pipeline):
                pass

        for start in range(0, renders, renders // 10):
            await asyncio.gather(*(one(start + n) for n in range(renders // 10)))
            held.append(psutil.Process().memory_info().rss + peak())
    return Row(
        figure=f"memory after {renders} renders",
        unit="MiB",
        target=1.1,
        at_most=True,
        measured=held[-1] / MIB,
        limit=held[0] / MIB,
        limit_name="after a tenth of them",
    )


def children() -> list[Any]:
    mine = psutil.Process().children()
    return [c for c in mine if any("image.render" in word for word in c.cmdline())]


def peak() -> int:
    return max(int(child.memory_info().rss) for child in children())


def most_held(pid: int) -> int:
    """The peak memory of a process, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10


if __name__ == "__main__":
    pyvips.cache_set_max(0)
    bare_ten(Path(sys.argv[1]))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
