"""Pictures of a film again and again, at the same distance."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import ffmpeg

from media_service.codecs.ffmpeg.run import coding
from media_service.codecs.progress import ProgressCallback
from media_service.codecs.video import filter_graph as graph
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.source import AvSource

# That one program seeks, each with a decoder of its own.
AT_ONCE = 8
# Pictures that are closer are there sooner if all that is between them is decoded.
NEAR_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class FrameSampler:
    """`interval`: seconds of the result. `pixels` and `options`: what each picture is written as.
    `exact`: it is the one that is seen when its interval begins. Otherwise it is from about the
    middle: where that is seen sooner, the last before that is there without others."""

    size: graph.Size
    interval: float
    count: int
    pixels: str
    options: Mapping[str, Any]
    exact: bool

    def shots(
        self, film: AvSource, edits: Edits, told: ProgressCallback
    ) -> AsyncGenerator[bytes | None, None]:
        """The files of the pictures; None for those that are not there, such as at the end of a
        film whose sound is longer. Raises as `Program.wait`."""
        far = self.interval * edits.factor >= NEAR_SECONDS
        return self._sought(film, edits, told) if far else self._decoded(film, edits, told)

    async def _sought(
        self, film: AvSource, edits: Edits, told: ProgressCallback
    ) -> AsyncGenerator[bytes | None, None]:
        for first in range(0, self.count, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, self.count))
            for shot in await self._some(film, edits, numbers):
                yield shot
            told(numbers.stop / self.count)

    async def _some(self, film: AvSource, edits: Edits, numbers: range) -> list[bytes | None]:
        how: dict[str, Any] = {} if self.exact else {"skip_frame": "nokey", "rough": True}
        async with AsyncExitStack() as stack:
            outputs = []
            files: list[int] = []
            for number in numbers:
                time = (number if self.exact else number + 0.5) * self.interval * edits.factor
                rest = replace(edits, start=min(edits.start + time, edits.end), factor=1.0)
                drawn = graph.drawn(
                    stack, film, rest, self.size, pixels=self.pixels, threads=1, **how
                )
                files += drawn.files
                outputs.append(drawn.pictures.output(f"{number}", vframes=1, **self.options))
            coder = coding(ffmpeg.merge_outputs(*outputs), files)
            program = await stack.enter_async_context(coder)
            await program.wait()
            paths = [program.folder / f"{number}" for number in numbers]
            return [path.read_bytes() if path.exists() else None for path in paths]

    async def _decoded(
        self, film: AvSource, edits: Edits, told: ProgressCallback
    ) -> AsyncGenerator[bytes | None, None]:
        rate = {"fps": f"1/{self.interval:.9g}", "start_time": 0}
        if self.exact:  # the last picture until then
            rate["round"] = "up"

        def progress(seconds: float) -> None:
            told(min(1.0, seconds / max(edits.seconds, self.interval)))

        async with AsyncExitStack() as stack:
            drawn = graph.drawn(stack, film, edits, self.size, rate=rate, pixels=self.pixels)
            output = drawn.pictures.output("%d", vframes=self.count, start_number=0, **self.options)
            coder = coding(output, drawn.files, progress=progress)
            program = await stack.enter_async_context(coder)
            await program.wait()
            for number in range(self.count):
                path = program.folder / f"{number}"
                yield path.read_bytes() if path.exists() else None
