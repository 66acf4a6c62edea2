"""Creates videos for players with FFmpeg's generators."""

import subprocess
from pathlib import Path

import imageio_ffmpeg

SECONDS = 10
RATE = 25
SOURCE = [
    *("-f", "lavfi", "-i", f"testsrc2=s=640x360:r={RATE}:d={SECONDS},noise=alls=20:allf=t"),
    *("-f", "lavfi", "-i", f"sine=440:r=48000:d={SECONDS}"),
]
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
AAC = ("-c:a", "aac")


def ffmpeg(*arguments: str, folder: Path) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *arguments]
    subprocess.run(command, cwd=folder, check=True)


def stream(folder: Path) -> Path:
    """Creates `master.m3u8` and `manifest.mpd` over the same 2-second segments in two sizes."""
    ladder = "[0:v]split[large][copy];[copy]scale=320:180[small]"
    keys = ("-force_key_frames", "expr:gte(t,n_forced*2)", "-sc_threshold", "0")
    both = ("-hls_playlist", "1", "-hls_master_name", "master.m3u8")
    ffmpeg(
        *SOURCE,
        *("-filter_complex", ladder, "-map", "[small]", "-map", "[large]", "-map", "1:a"),
        *(*H264, *keys, "-b:v:0", "300k", "-b:v:1", "900k", *AAC),
        *("-f", "dash", "-seg_duration", "2", *both),
        *("-adaptation_sets", "id=0,streams=v id=1,streams=a", "manifest.mpd"),
        folder=folder,
    )
    return folder


def mp4(folder: Path) -> Path:
    """Creates `video.mp4` with its index at the start."""
    ffmpeg(*SOURCE, *H264, *AAC, "-movflags", "+faststart", "video.mp4", folder=folder)
    return folder


def flashes(folder: Path, *, seconds: int = SECONDS, audio_filter: str = "anull") -> Path:
    """Creates `flashes.mp4`, with a flash and a beep at each second. `audio_filter` may shift
    the audio."""
    on = f"lt(mod(n,{RATE}),2)"
    beep = "if(lt(mod(t,1),0.08),0.8*sin(2*PI*1000*t),0)"
    ffmpeg(
        *("-f", "lavfi", "-i", f"color=black:s=320x180:r={RATE}:d={seconds}"),
        *("-f", "lavfi", "-i", f"aevalsrc='{beep}':s=48000:d={seconds}"),
        *("-vf", f"drawbox=color=white:t=fill:enable='{on}'", "-af", audio_filter),
        *(*H264, *AAC, "flashes.mp4"),
        folder=folder,
    )
    return folder / "flashes.mp4"
