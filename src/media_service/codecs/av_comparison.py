"""Compares the results of video and audio operations with their source. A source is read again only
if the result alone does not show that it is right."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from media_service.codecs.av_task import AvTask
from media_service.codecs.comparison import (
    check_duration,
    check_frames,
    check_size,
    check_visible,
    edited_seconds,
    is_shorter,
)
from media_service.codecs.ends import ImageLook
from media_service.codecs.inspector import Inspector
from media_service.codecs.output import Output
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.operations import frame, preview
from media_service.codecs.video.source import AvSource


@dataclass(frozen=True, slots=True)
class AvComparison:
    inspector: Inspector

    async def check(self, operation: str, task: AvTask, output: Output) -> None:
        """Compares the main output of an operation with its source. Raises InvalidArgument
        (MEDIA_CORRUPT)."""
        checks: Mapping[str, Callable[[AvTask, Output], Awaitable[None]]] = {
            "transcode": self._video,
            "audio": self._audio,
            "waveform": self._waveform,
            "frame": self._frame,
            "frames": self._sampled,
            "storyboard": self._storyboard,
            "preview": self._preview,
        }
        await checks[operation](task, output)

    async def _video(self, task: AvTask, output: Output) -> None:
        source, edits = task.source, task.edits
        original = await self.inspector.source_ends(source, edits)
        result = await self.inspector.result_ends(output.path, output.content_type, edits.seconds)
        if result is None:
            return
        check_frames(original, result, (output.width, output.height), hdr=source.is_hdr)
        wanted = edited_seconds(original.video_seconds, edits)
        check_duration("The video track", result.latest_video_end, wanted)
        tracks = () if edits.mute else source.audio_tracks
        for number, (index, _) in enumerate(tracks):
            wanted = edited_seconds(original.audio_track(index), edits)
            check_duration(f"Audio track {number + 1}", result.latest_audio_end(number), wanted)

    async def _audio(self, task: AvTask, output: Output) -> None:
        info = (await self.inspector.inspect(output.path, "AUDIO", output.content_type)).info
        await self._check_audio_seconds(task, info.duration_seconds)

    async def _waveform(self, task: AvTask, output: Output) -> None:
        if output.width:
            await self._look(output)
        await self._check_audio_seconds(task, output.seconds)

    async def _check_audio_seconds(self, task: AvTask, seconds: float | None) -> None:
        source, edits = task.source, task.edits
        # It is unknown how much silence is removed.
        if seconds is None or edits.audio_steps or not is_shorter(seconds, edits.seconds):
            return
        ends = await self.inspector.source_ends(source, edits)
        wanted = edited_seconds(ends.audio_track(source.audio_tracks[0][0]), edits)
        check_duration("The audio", seconds, wanted)

    async def _frame(self, task: AvTask, output: Output) -> None:
        time = frame.requested_time(task.edits, task.message)
        edits = task.edits if time is None else replace(task.edits, start=time, end=time)
        await self._check_visible(task.source, edits, output)

    async def _storyboard(self, task: AvTask, output: Output) -> None:
        await self._check_visible(task.source, task.edits, output)
        await self._sampled(task, output)

    async def _sampled(self, task: AvTask, output: Output) -> None:
        if output.seconds is not None and is_shorter(output.seconds, task.edits.seconds):
            ends = await self.inspector.source_ends(task.source, task.edits)
            wanted = edited_seconds(ends.video_seconds, task.edits)
            check_duration("The last frame", output.seconds, wanted)

    async def _preview(self, task: AvTask, output: Output) -> None:
        seconds = await self._check_visible(task.source, task.edits, output)
        if task.source.may_pause:
            return  # moments without a new frame are left out
        ranges = preview.spread(task.edits, task.message.duration_seconds)
        if is_shorter(seconds, sum(each.seconds for each in ranges)):
            ends = await self.inspector.source_ends(task.source, task.edits)
            parts = [edited_seconds(ends.video_seconds, each) for each in ranges]
            check_duration("The animation", seconds, sum(part or 0.0 for part in parts))

    async def _check_visible(self, source: AvSource, edits: Edits, output: Output) -> float:
        """Returns the duration of an animation."""
        look = await self._look(output)
        if look.is_black:
            original = await self.inspector.source_ends(source, edits)
            check_visible(original, look, hdr=source.is_hdr)
        return look.seconds

    async def _look(self, output: Output) -> ImageLook:
        look = await self.inspector.look_at(output.path, output.content_type)
        check_size((look.width, look.height), (output.width, output.height))
        return look
