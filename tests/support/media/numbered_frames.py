"""Videos in which every frame is identifiable."""

import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import av
import imageio_ffmpeg

# The luma of frame n: far enough apart to be distinguished after encoding.
DARKEST, SHADES, STEP = 20, 50, 4


def shade(number: int) -> int:
    return DARKEST + number % SHADES * STEP


@lru_cache
def counted(
    seconds: float, rate: str = "5", size: str = "96x64", audio_tracks: int = 1, *more: str
) -> bytes:
    """An MP4 whose frames are numbered by shades of gray. `more` has output options."""
    shades = f"lum='{DARKEST}+mod(N,{SHADES})*{STEP}':cb=128:cr=128"
    small = f"color=black:s=16x16:r={rate}:d={seconds},format=yuv420p,geq={shades}"
    inputs = [f"{small},scale={size}:flags=neighbor,setsar=1"]
    inputs += [f"sine=f={440 * (n + 1)}:r=48000:d={seconds}" for n in range(audio_tracks)]
    return made(inputs, *more)


def made(inputs: list[str], *more: str) -> bytes:
    """Creates a video with ffmpeg's generators."""
    with tempfile.TemporaryDirectory(prefix="media-test-") as folder:
        path = Path(folder) / "video.mp4"
        sources = [word for each in inputs for word in ("-f", "lavfi", "-i", each)]
        maps = [word for n in range(len(inputs)) for word in ("-map", str(n))]
        codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "10", "-g", "37"]
        ffmpeg(*sources, *maps, *codecs, "-c:a", "aac", "-movflags", "+faststart", *more, str(path))
        return path.read_bytes()


def ffmpeg(*arguments: str) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-nostdin", "-y"]
    subprocess.run([*command, *arguments], check=True)


def frames_of(path: Path) -> list[tuple[float, int]]:
    """The display time of each frame, in seconds, and its luma."""
    with av.open(str(path)) as container:
        return [
            (float(frame.time or 0), round(float(frame.to_ndarray()[: frame.height].mean())))
            for frame in container.decode(video=0)
        ]


def audio_seconds(path: Path) -> float:
    with av.open(str(path)) as container:
        samples = [(frame.samples, frame.sample_rate) for frame in container.decode(audio=0)]
    return sum(count / rate for count, rate in samples)
