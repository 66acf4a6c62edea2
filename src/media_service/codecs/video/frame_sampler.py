"""Samples frames of a video at a constant interval."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import ffmpeg

from media_service.codecs.ffmpeg.run import run_ffmpeg
from media_service.codecs.progress import ReportProgress
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.filter_graph import Size, edited_tracks
from media_service.codecs.video.source import AvSource

# The number of seeks per ffmpeg process. Each one has a separate decoder.
SEEKS_PER_PROCESS = 8
# At shorter intervals, decoding everything between two frames is faster than seeking.
MIN_SEEK_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class FrameSampler:
    """Samples frames. `interval` is in seconds of the output. `pixels` and `options` determine how
    each frame is encoded.

    If `exact`, each frame is the one displayed when its interval begins. Otherwise, it is from
    about the middle of the interval, or the last key frame before it if that is faster.
    """

    size: Size
    interval: float
    count: int
    pixels: str
    options: Mapping[str, Any]
    exact: bool

    def frames(
        self, source: AvSource, edits: Edits, report: ReportProgress
    ) -> AsyncGenerator[bytes | None, None]:
        """Yields the encoded frames, and None for a missing frame, such as after the end of a video
        track that is shorter than the audio. Raises the errors of `Program.wait`."""
        if self.interval * edits.speed >= MIN_SEEK_SECONDS:
            return self._by_seeking(source, edits, report)
        return self._by_decoding(source, edits, report)

    async def _by_seeking(
        self, source: AvSource, edits: Edits, report: ReportProgress
    ) -> AsyncGenerator[bytes | None, None]:
        for first in range(0, self.count, SEEKS_PER_PROCESS):
            numbers = range(first, min(first + SEEKS_PER_PROCESS, self.count))
            for frame in await self._seek(source, edits, numbers):
                yield frame
            report(numbers.stop / self.count)

    async def _seek(self, source: AvSource, edits: Edits, numbers: range) -> list[bytes | None]:
        seek: dict[str, Any] = {}
        if not self.exact:
            seek = {"skip_frame": "nokey", "coarse_seek": True}
        async with AsyncExitStack() as stack:
            outputs = []
            files: list[int] = []
            for number in numbers:
                time = (number if self.exact else number + 0.5) * self.interval * edits.speed
                rest = replace(edits, start=min(edits.start + time, edits.end), speed=1.0)
                tracks = edited_tracks(
                    stack, source, rest, self.size, pixels=self.pixels, threads=1, **seek
                )
                files += tracks.files
                outputs.append(tracks.video.output(f"{number}", vframes=1, **self.options))
            running = run_ffmpeg(ffmpeg.merge_outputs(*outputs), files, limits=source.limits)
            program = await stack.enter_async_context(running)
            await program.wait()
            paths = [program.folder / f"{number}" for number in numbers]
            return [path.read_bytes() if path.exists() else None for path in paths]

    async def _by_decoding(
        self, source: AvSource, edits: Edits, report: ReportProgress
    ) -> AsyncGenerator[bytes | None, None]:
        # A video may be shorter than half an interval.
        rate = {"fps": f"1/{self.interval:.9g}", "start_time": 0, "eof_action": "pass"}
        if self.exact:  # the last frame up to then
            rate["round"] = "up"

        def progress(seconds: float) -> None:
            report(min(1.0, seconds / max(edits.seconds, self.interval)))

        async with AsyncExitStack() as stack:
            tracks = edited_tracks(stack, source, edits, self.size, rate=rate, pixels=self.pixels)
            output = tracks.video.output("%d", vframes=self.count, start_number=0, **self.options)
            running = run_ffmpeg(output, tracks.files, limits=source.limits, progress=progress)
            program = await stack.enter_async_context(running)
            await program.wait()
            for number in range(self.count):
                path = program.folder / f"{number}"
                yield path.read_bytes() if path.exists() else None
