"""Measures the properties of video and audio files, with programs that the service does not use for
this purpose."""

import json
import re
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import imageio_ffmpeg

from tests.support.tools import require_tool

# Time resolution of audio measurements.
STEP_SECONDS = 0.005


@dataclass(frozen=True)
class Stream:
    kind: str
    codec: str
    # As stated by the container, or None if it does not state it.
    duration: float | None
    # The number of decoded video frames or audio packets.
    frames: int
    # Video only.
    width: int = 0
    height: int = 0
    rate: Fraction = Fraction(0)
    # Audio only.
    sample_rate: int = 0
    channels: int = 0


@dataclass(frozen=True)
class Probed:
    container: str
    duration: float
    streams: tuple[Stream, ...]

    def only(self, kind: str) -> Stream:
        """The only stream of the type "video" or "audio". Fails if there is not exactly one."""
        (stream,) = [stream for stream in self.streams if stream.kind == kind]
        return stream


def probe(media: Path) -> Probed:
    """Probes a file with ffprobe, which decodes all of it."""
    wanted = ("-show_format", "-show_streams", "-count_frames", "-of", "json")
    printed = json.loads(run(require_tool("ffprobe"), "-v", "error", *wanted, str(media)).stdout)
    return Probed(
        printed["format"]["format_name"],
        float(printed["format"]["duration"]),
        tuple(
            Stream(
                kind=stream["codec_type"],
                codec=stream["codec_name"],
                duration=float(stream["duration"]) if "duration" in stream else None,
                frames=int(stream.get("nb_read_frames", 0)),
                width=stream.get("width", 0),
                height=stream.get("height", 0),
                rate=rate(stream["avg_frame_rate"]),
                sample_rate=int(stream.get("sample_rate", 0)),
                channels=stream.get("channels", 0),
            )
            for stream in printed["streams"]
        ),
    )


def rate(printed: str) -> Fraction:
    """Parses a frame rate. Audio tracks have the rate 0/0."""
    return Fraction(0) if printed.endswith("/0") else Fraction(printed)


@dataclass(frozen=True)
class Likeness:
    """The mean similarity of all frames to the source."""

    psnr: float  # PSNR of luma in dB; 60 if identical
    ssim: float
    vmaf: float


def likeness(made: Path, source: Path) -> Likeness:
    """Compares `made` with `source`, frame by frame, in the size of `source`.

    The last frame of the shorter video is repeated, so a different length lowers the similarity.
    """
    with TemporaryDirectory(prefix="media-likeness-") as folder:
        log = Path(folder) / "vmaf.json"
        compare = (
            f"libvmaf=feature='name=psnr|name=float_ssim':n_threads=2:log_fmt=json:log_path={log}"
        )
        # Frames are paired by time, so both start at 0.
        graph = (
            "[1:v]setpts=PTS-STARTPTS[source];[0:v]setpts=PTS-STARTPTS[made];"
            "[made][source]scale=rw:rh:flags=bicubic[scaled];"
            f"[1:v]setpts=PTS-STARTPTS[whole];[scaled][whole]{compare}"
        )
        # Debian's FFmpeg has no VMAF.
        ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
        inputs = ("-i", str(made), "-i", str(source))
        run(ffmpeg, "-v", "error", *inputs, "-lavfi", graph, "-f", "null", "-")
        pooled = json.loads(log.read_text())["pooled_metrics"]
    return Likeness(*(pooled[name]["mean"] for name in ("psnr_y", "float_ssim", "vmaf")))


@dataclass(frozen=True)
class Loudness:
    """Loudness by EBU R 128."""

    integrated: float  # LUFS
    range: float  # LU
    true_peak: float  # dBTP


def loudness(media: Path) -> Loudness:
    ffmpeg = require_tool("ffmpeg")
    measure = ("-nostats", "-i", str(media), "-map", "0:a", "-af", "ebur128=peak=true")
    printed = run(ffmpeg, *measure, "-f", "null", "-").stderr.rpartition("Summary:")[2]

    def value(name: str) -> float:
        found = re.search(rf"^\s+{name}:\s+(\S+) ", printed, re.MULTILINE)
        assert found, f"no {name} in {printed}"
        return float(found[1])

    return Loudness(value("I"), value("LRA"), value("Peak"))


def sync_offsets(video: Path) -> list[float]:
    """The seconds from each flash to its beep, in a video from `player_videos.flashes`."""
    light = onsets(
        video,
        ("-map", "0:v", "-vf", "signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-"),
        above=128,
    )
    steps = f"aresample=48000,asetnsamples=n={round(48000 * STEP_SECONDS)}"
    level = "astats=metadata=1:reset=1,ametadata=print:key=lavfi.astats.Overall.RMS_level:file=-"
    beeps = onsets(video, ("-map", "0:a", "-af", f"{steps},{level}"), above=-20)
    assert len(light) == len(beeps) > 0, f"flashes at {light}, but beeps at {beeps}"
    return [beep - flash for flash, beep in zip(light, beeps, strict=True)]


def onsets(video: Path, look: tuple[str, ...], *, above: float) -> list[float]:
    """The times at which a printed value rises above a threshold."""
    ffmpeg = require_tool("ffmpeg")
    # Use the file's own timestamps, because audio and video are measured separately.
    inputs = ("-v", "error", "-copyts", "-i", str(video))
    printed = run(ffmpeg, *inputs, *look, "-f", "null", "-").stdout
    found = []
    was = False
    for time, value in re.findall(r"pts_time:(\S+)\n\S+=(\S+)", printed):
        now = float(value) > above
        if now and not was:
            found.append(float(time))
        was = now
    return found


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done
