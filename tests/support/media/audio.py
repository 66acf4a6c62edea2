"""Generated audio files, and measurements of the output with other programs."""

import json
import re
import subprocess
from collections.abc import Awaitable, Callable
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np

from media_service.codecs.ffmpeg.run import binary
from media_service.codecs.inspector import Inspector
from media_service.codecs.output import Output
from media_service.codecs.video.source import AvSource
from media_service.media.model import Kind
from tests.support.tools import require_tool


def generated(path: Path, graph: str, *options: str) -> Path:
    """Creates a file with ffmpeg's generators."""
    inputs = ["-f", "lavfi", "-i", graph]
    command = [str(binary()), "-nostdin", "-loglevel", "error", *inputs, *options, str(path)]
    subprocess.run(command, check=True)
    return path


def probed(path: Path) -> Any:
    """The streams and format that ffprobe finds."""
    command = [require_tool("ffprobe"), "-v", "error", "-show_format", "-show_streams"]
    done = subprocess.run([*command, "-of", "json", path], check=True, capture_output=True)
    return json.loads(done.stdout)


def samples(path: Path, rate: int = 44100) -> np.ndarray:
    """All samples, from -1 to 1, mixed to mono by PyAV's ffmpeg, which encodes nothing."""
    resampler = av.AudioResampler("flt", "mono", rate)
    with av.open(str(path)) as file:
        frames = chain(file.decode(audio=0), [None])  # None empties the resampler
        pieces = [piece.to_ndarray()[0] for frame in frames for piece in resampler.resample(frame)]
    return np.concatenate(pieces) if pieces else np.empty(0, "<f4")


def loudness(path: Path) -> tuple[float, float]:
    """Loudness in LUFS and true peak in dBTP, by a different ffmpeg than the service's."""
    command = [require_tool("ffmpeg"), "-nostdin", "-hide_banner", "-nostats", "-i", str(path)]
    graph = ["-map", "a:0", "-af", "ebur128=peak=true:framelog=verbose", "-f", "null", "-"]
    done = subprocess.run([*command, *graph], check=True, capture_output=True, text=True)
    summary = done.stderr.rpartition("Summary:")[2]
    integrated, peak = (re.findall(rf"{name}:\s*(\S+) ", summary)[0] for name in ("I", "Peak"))
    return float(integrated), float(peak)


def pitch(decoded: np.ndarray, rate: int = 44100) -> float:
    """The strongest frequency, in Hz."""
    spectrum = np.abs(np.fft.rfft(decoded * np.hanning(len(decoded))))
    return float(np.argmax(spectrum)) * rate / len(decoded)


TYPES = {
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".ogg": "audio/ogg",
    ".flac": "audio/flac",
    ".wav": "audio/wav",
    ".aac": "audio/aac",
    ".mkv": "video/x-matroska",
}

# Renders a file with a pipeline. The output exists until the test ends.
Make = Callable[[Path, str], Awaitable[Output]]


async def inspected(inspector: Inspector, path: Path) -> tuple[AvSource, Kind]:
    """The source and kind of a file after inspection."""
    content_type = TYPES[path.suffix]
    kind = Kind.VIDEO if content_type.startswith("video") else Kind.AUDIO
    found = await inspector.inspect(path, kind, content_type)
    return AvSource.of(path, content_type, found.info), kind
