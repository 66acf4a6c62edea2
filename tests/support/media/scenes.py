"""Videos of several scenes, each of which is a photo with the statistics of real ones."""

from collections.abc import Sequence
from pathlib import Path

from tests.support.media.photos import photo
from tests.support.media.videos import ffmpeg

SECONDS = 1
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "28", "-g", "30")


def video_of(folder: Path, seeds: Sequence[int]) -> Path:
    """A video that shows each photo for a second, and moves over it."""
    frames = []
    for seed in seeds:
        frames.append(folder / f"{seed}.png")
        if not frames[-1].exists():
            photo(seed).write_to_file(str(frames[-1]))
    inputs = [
        word for each in frames for word in ("-loop", "1", "-t", f"{SECONDS}", "-i", str(each))
    ]
    moved = [f"[{n}]crop=in_w-8:in_h-8:8*t:8*t[m{n}]" for n in range(len(frames))]
    joined = "".join(f"[m{n}]" for n in range(len(frames))) + f"concat=n={len(frames)},scale=240:-2"
    path = folder / f"{'-'.join(map(str, seeds))}.mp4"
    ffmpeg(*inputs, "-filter_complex", ";".join([*moved, joined]), "-r", "10", *X264, str(path))
    return path


def changed(path: Path, name: str, *options: str) -> Path:
    """Encodes a video again."""
    copy = path.with_name(name)
    ffmpeg("-i", str(path), *options, *X264, str(copy))
    return copy
