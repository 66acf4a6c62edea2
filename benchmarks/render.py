"""RenderImage, compared with bare libvips and with thumbor.

A cold request has a pipeline that was not requested before. A focal point without effect makes the
pipeline unique. The children are warm, as on a server in use.
"""

import asyncio
import itertools
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httpx
import pyvips
from mediaservice.v1 import (
    download_service_pb2,
    download_service_pb2_grpc,
    media_pb2,
    media_service_pb2,
    media_service_pb2_grpc,
)

from benchmarks.calls import Latencies, at_once
from benchmarks.measure import Bench, Work, say, take_turns
from benchmarks.payload import Payload
from benchmarks.report import Outcome, Row, versus
from benchmarks.stack import Stack, await_port, find_program, free_ports
from benchmarks.transfer import Client, client

WIDTH, QUALITY = 300, 80
CLIENTS, PROCESSES, READERS = 4, 2, 8
READY_SECONDS = 60.0


def make_photo(path: Path) -> None:
    """A JPEG of 3840×2160 with detail at every scale, as in a photograph."""
    bands = []
    for seed in range(3):
        clouds = pyvips.Image.perlin(3840, 2160, cell_size=300, seed=seed).linear(90, 128)
        leaves = pyvips.Image.perlin(3840, 2160, cell_size=12, seed=seed + 9).linear(30, 0)
        grain = pyvips.Image.gaussnoise(3840, 2160, mean=0, sigma=4, seed=seed)
        bands.append(clouds + leaves + grain)
    photo = bands[0].bandjoin(bands[1:]).cast("uchar").copy(interpretation="srgb")
    photo.jpegsave(str(path), Q=90)


def thumbnail(path: str) -> int:
    """Renders the thumbnail with libvips alone."""
    image = pyvips.Image.thumbnail(path, WIDTH, height=10_000_000, size="down")
    return len(image.webpsave_buffer(Q=QUALITY, keep="none"))


def prepare(path: str) -> int:
    """Initializes a worker process with the thread count that suits two processes on two cores."""
    pyvips.concurrency_set(1)
    pyvips.cache_set_max(0)
    thumbnail(path)
    time.sleep(0.2)  # so that the other process gets its turn
    return os.getpid()


@contextmanager
def bare_processes(stack: Stack, path: str) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        pids = set(pool.map(prepare, [path] * PROCESSES))
        stack.pids.update({f"pyvips {n}": pid for n, pid in enumerate(pids)})
        try:
            yield pool
        finally:
            for number in range(len(pids)):
                del stack.pids[f"pyvips {number}"]


@contextmanager
def thumbor(stack: Stack, photo: Path) -> Iterator[str]:
    """The URL of the same rendering by thumbor. Empty if thumbor is not installed."""
    program = find_program("thumbor")
    if not program:
        say("  (thumbor is not on PATH: left out)")
        yield ""
        return
    settings = {
        "LOADER": "thumbor.loaders.file_loader",
        "FILE_LOADER_ROOT_PATH": str(photo.parent),
        "STORAGE": "thumbor.storages.no_storage",
        "RESULT_STORAGE": None,
        "QUALITY": QUALITY,
    }
    config = stack.folder / "thumbor.conf"
    config.write_text("".join(f"{name} = {value!r}\n" for name, value in settings.items()))
    (port,) = free_ports(1)
    command = [program, "--ip", "127.0.0.1", "--port", str(port), "--processes", str(PROCESSES)]
    with stack.log.open("ab") as log:
        process = subprocess.Popen(
            [*command, "--conf", str(config)], stdout=log, stderr=log, start_new_session=True
        )
    stack.pids["thumbor"] = process.pid
    try:
        await_port(port)
        filters = f"filters:format(webp):quality({QUALITY})"
        yield f"http://127.0.0.1:{port}/unsafe/{WIDTH}x0/{filters}/{photo.name}"
    finally:
        del stack.pids["thumbor"]
        os.killpg(process.pid, 15)
        process.wait()


@asynccontextmanager
async def inspected(bench: Bench, to: Client, *media_ids: str) -> AsyncIterator[None]:
    """Runs a worker until these media are inspected. It does not run during measurements."""
    media: Any = media_service_pb2_grpc.MediaServiceStub(to.service)
    environ = {**os.environ, **bench.stack.settings}
    with bench.stack.log.open("ab") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "media_service", "work"], env=environ, stderr=log
        )
    try:
        async with asyncio.timeout(READY_SECONDS):
            for media_id in media_ids:
                request = media_service_pb2.GetMediaRequest(media_id=media_id)
                while True:
                    found = await media.GetMedia(request, metadata=to.metadata)
                    if found.state == media_pb2.Media.READY:
                        break
                    await asyncio.sleep(0.1)
    finally:
        worker.terminate()
        worker.wait()
    yield


async def upload(to: Client, file: Path) -> str:
    size = file.stat().st_size
    return await to.upload(Payload(file, size, b"", 0), size)


@dataclass(frozen=True)
class Asking:
    """Calls to the service for one media."""

    to: Client
    media_id: str
    nonces: Iterator[int]

    async def render(self, ops: str) -> int:
        request = download_service_pb2.RenderImageRequest(media_id=self.media_id, ops=ops)
        return await self._read("RenderImage", request)

    async def cold(self) -> None:
        focus = f"focal_x={next(self.nonces) / 1e7:.7f}:focal_y=0.5"
        await self.render(f"resize:{WIDTH}x:{focus},convert:webp:quality={QUALITY}")

    async def content(self, media_id: str) -> int:
        request = download_service_pb2.GetContentRequest(media_id=media_id)
        return await self._read("GetContent", request)

    async def _read(self, method: str, request: Any) -> int:
        downloads: Any = download_service_pb2_grpc.DownloadServiceStub(self.to.service)
        call = getattr(downloads, method)(request, metadata=self.to.metadata)
        return sum([len(body.data) async for body in call])


async def render(bench: Bench) -> Outcome:
    photo = bench.stack.folder / "photo.jpg"
    make_photo(photo)
    path = str(photo)
    bare_alone, cold_alone = Latencies(), Latencies()
    with bare_processes(bench.stack, path) as pool, thumbor(bench.stack, photo) as peer:
        async with client(bench.stack) as to, httpx.AsyncClient(trust_env=False) as web:
            media_id = await upload(to, photo)
            asking = Asking(to, media_id, itertools.count(1))
            async with inspected(bench, to, media_id):
                kept = f"resize:{WIDTH}x,convert:webp:quality={QUALITY}"
                size = await asking.render(kept)
                copy = bench.stack.folder / "copy.webp"
                copy.write_bytes(
                    pyvips.Image.thumbnail(path, WIDTH).webpsave_buffer(Q=QUALITY, keep="none")
                )
                copy_id = await upload(to, copy)
                assert abs(copy.stat().st_size - size) < size / 10

                async def bare_call() -> None:
                    thumbnail(path)

                async def bare_process() -> None:
                    await asyncio.get_running_loop().run_in_executor(pool, thumbnail, path)

                async def ask_peer() -> None:
                    answer = await web.get(peer)
                    assert answer.status_code == 200
                    assert answer.headers["content-type"] == "image/webp"

                works: dict[str, Work] = {
                    "bare pyvips": timed(bare_alone, 1, bench, bare_call),
                    "RenderImage, cold": timed(cold_alone, 1, bench, asking.cold),
                    "bare pyvips, 2 processes": timed(None, CLIENTS, bench, bare_process),
                    "RenderImage, cold, 4 clients": timed(None, CLIENTS, bench, asking.cold),
                }
                if peer:
                    works["thumbor, 4 clients"] = timed(None, CLIENTS, bench, ask_peer)
                works["GetContent, 8 readers"] = timed(
                    None, READERS, bench, lambda: asking.content(copy_id)
                )
                works["RenderImage, kept, 8 readers"] = timed(
                    None, READERS, bench, lambda: asking.render(kept)
                )
                found = await take_turns(bench, works, unit=("/s", 1), cpu_unit=("ms each", 1e3))
    bench.stack.discard()
    alone, many = found["bare pyvips"], found["bare pyvips, 2 processes"]
    cold, content = found["RenderImage, cold, 4 clients"], found["GetContent, 8 readers"]
    rows = [
        Row(
            figure="4K JPEG → 300 px WebP, cold, p50",
            unit="ms",
            target=1.3,
            at_most=True,
            measured=cold_alone.percentile(50),
            limit=bare_alone.percentile(50),
            limit_name=alone.name,
        ),
        versus("the same, 4 clients", 0.75, cold, many, None),
        versus("cached render", 0.8, found["RenderImage, kept, 8 readers"], content, content),
    ]
    if peer:
        rows.append(versus("cold, beside thumbor", None, cold, found["thumbor, 4 clients"], None))
    note = f"RenderImage, cold: {cold_alone}; bare pyvips: {bare_alone}; {size} bytes come out."
    return Outcome(rows, list(found.values()), [note])


def timed(
    latencies: Latencies | None, clients: int, bench: Bench, call: Callable[[], Awaitable[Any]]
) -> Work:
    async def work() -> float:
        seconds = await at_once(clients, bench.seconds, call)
        return latencies.add(seconds) if latencies else len(seconds)

    return work
