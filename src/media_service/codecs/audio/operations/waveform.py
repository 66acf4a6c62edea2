"""`waveform`: the peaks of an audio track, as JSON for players or as an image."""

from collections.abc import Sequence

from media_service.codecs.av_task import AvTask
from media_service.codecs.output import Output


async def render(task: AvTask) -> Sequence[Output]:
    """Computes the peaks. Raises the errors of `render_waveform`."""
    from media_service.codecs.audio.waveform import render_waveform  # noqa: PLC0415 - NumPy is slow

    return await render_waveform(task)
