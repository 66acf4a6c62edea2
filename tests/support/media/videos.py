"""Generates videos, renders them with real child processes, and examines the output."""

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyvips
from msgspec.structs import replace

from media_service.codecs.av_renderer import AvRenderer
from media_service.codecs.ffmpeg.run import binary
from media_service.codecs.image.source import ImageSource
from media_service.codecs.inspection import VideoInfo
from media_service.codecs.inspector import Inspector
from media_service.codecs.output import Output
from media_service.codecs.pipeline.route import find_route
from media_service.codecs.pipeline.validation import parsed_pipeline
from media_service.codecs.video.source import AvSource
from tests.support.tools import require_tool

TYPES = {
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".ts": "video/mp2t",
    ".mpg": "video/mpeg",
    ".avi": "video/vnd.avi",
    ".flv": "video/x-flv",
    ".mov": "video/quicktime",
    ".wmv": "video/x-ms-wmv",
}

LOGO = "0190163d-8694-739b-aea5-966c26f8ad91"


def ffmpeg(*arguments: str) -> str:
    """Runs ffmpeg and returns its stderr."""
    command = [str(binary()), "-hide_banner", "-nostdin", "-y", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stderr


def generated(path: Path, video_generator: str, audio_generator: str = "", *options: str) -> Path:
    """Creates a video with ffmpeg's generators."""
    inputs = ["-f", "lavfi", "-i", video_generator]
    if audio_generator:
        inputs += ["-f", "lavfi", "-i", audio_generator]
    chosen = options or ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "15")
    ffmpeg(*inputs, *chosen, str(path))
    return path


def probe(path: Path) -> dict[str, Any]:
    """The output of Debian's ffprobe, which is independent of the service's ffmpeg."""
    command = [require_tool("ffprobe"), "-v", "error", "-of", "json", "-count_frames"]
    command += ["-show_format", "-show_streams", "-show_chapters", str(path)]
    done = subprocess.run(command, capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def stream(path: Path, kind: str) -> dict[str, Any]:
    """The only stream of a type."""
    [found] = [each for each in probe(path)["streams"] if each["codec_type"] == kind]
    return dict(found)


def similarity(made: Path, original: Path) -> float:
    """The SSIM of two videos. 1 means identical."""
    output = ffmpeg("-i", str(made), "-i", str(original), "-lavfi", "ssim", "-f", "null", "-")
    return float(output.rsplit("All:", 1)[1].split()[0])


def frame_at(video: Path, seconds: float) -> Any:
    """The frame shown at a time."""
    path = video.with_suffix(f".{seconds}.png")
    ffmpeg("-ss", f"{seconds}", "-i", str(video), "-frames:v", "1", str(path))
    return shown(path)


def shown(path: Path) -> Any:
    """Reads an image without libvips's cache, which is keyed by file name."""
    return pyvips.Image.new_from_buffer(path.read_bytes(), "")


@dataclass(frozen=True)
class Studio:
    """Renders videos like a job, and keeps the output in a folder."""

    av_renderer: AvRenderer
    inspector: Inspector
    folder: Path

    async def make(
        self,
        path: Path,
        ops: str,
        overlays: Mapping[str, ImageSource] | None = None,
        report: Callable[[float], None] = lambda _: None,
        **known: Any,
    ) -> Path:
        """Renders and returns the main output. `known` overrides values from inspection."""
        return (await self.all(path, ops, overlays, report, **known))[-1].path

    async def all(
        self,
        path: Path,
        ops: str,
        overlays: Mapping[str, ImageSource] | None = None,
        report: Callable[[float], None] = lambda _: None,
        **known: Any,
    ) -> Sequence[Output]:
        info = (await self.inspector.inspect(path, "VIDEO", TYPES[path.suffix])).info
        return await self.known(path, ops, replace(info, **known), overlays, report)

    async def known(
        self,
        path: Path,
        ops: str,
        info: VideoInfo,
        overlays: Mapping[str, ImageSource] | None = None,
        report: Callable[[float], None] = lambda _: None,
    ) -> Sequence[Output]:
        """Renders a video without inspecting it."""
        video = AvSource.of(path, TYPES[path.suffix], info)
        steps = find_route(parsed_pipeline(ops), "VIDEO").steps
        kept = []
        async with self.av_renderer.render(
            video, steps, overlays or {}, report, name="made"
        ) as made:
            for number, each in enumerate(made):
                copy = self.folder / f"{path.stem}-made-{number}"
                shutil.copy(each.path, copy)
                kept.append(Output(copy, each.content_type, each.width, each.height, each.suffix))
        return kept


def number(gray: float) -> int:
    """The number of a frame of `counted`, from its brightness."""
    return round(gray / 255 * 219 + 16) - 20
