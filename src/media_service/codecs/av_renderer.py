"""Makes films, sounds and pictures of films, in confined children."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.audio.encode import audio
from media_service.codecs.audio.waveform import waveform
from media_service.codecs.image.source import ImageSource
from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.output import Output
from media_service.codecs.pipeline import operation_fields as fields
from media_service.codecs.pipeline.route import Step
from media_service.codecs.progress import ProgressCallback
from media_service.codecs.video import track_coverage as presence
from media_service.codecs.video.edits import collect_edits
from media_service.codecs.video.frame import frame
from media_service.codecs.video.frames import frames
from media_service.codecs.video.preview import preview
from media_service.codecs.video.source import AvSource
from media_service.codecs.video.storyboard import storyboard
from media_service.codecs.video.transcode import transcode
from media_service.codecs.video.watermark import mark
from media_service.errors import FailedPrecondition, Reason

# What ends a pipeline that only edits a film; a sound; and what needs no pictures.
TRANSCODE: Step = fields.unpack(fields.with_defaults(Operation(transcode=Operation.Transcode())))
AUDIO: Step = ("audio", None)
SOUNDS = {"audio", "waveform"}


class AvRenderer:
    """Of films and sounds. `renderer`: makes what is laid over them. `profiles`: what the pictures
    of a film may take, in kilobits per second, by its shorter side."""

    def __init__(self, renderer: ImageRenderer, profiles: Mapping[int, int]) -> None:
        self._renderer = renderer
        self._profiles = profiles

    @asynccontextmanager
    async def render(
        self,
        film: AvSource,
        steps: Sequence[Step],
        overlays: Mapping[str, ImageSource],
        told: ProgressCallback,
        *,
        name: str,
    ) -> AsyncIterator[Sequence[Output]]:
        """What a pipeline makes of a film, up to where pictures begin, the main thing last;
        `overlays`: the pictures it names, by media id. `name`: of the rendition. The files are
        there for as long as the context lasts; leaving it kills what still runs.

        Raises InvalidArgument (MEDIA_CORRUPT), FailedPrecondition (OPERATION_NOT_APPLICABLE),
        InvalidArgument (PROCESSING_LIMIT_EXCEEDED), DataLoss (BLOB_MISSING), Unavailable
        (STORAGE_UNAVAILABLE, PROCESSING_UNAVAILABLE).
        """
        kept, rest = collect_edits(steps, film.duration_seconds)
        sound = kept.audio or not film.has_video
        ending, message = rest[0] if rest else AUDIO if sound else TRANSCODE
        if not film.has_video and ending not in SOUNDS:
            raise no_pictures(ending)
        film = await presence.kept(film, kept, pictures=ending not in SOUNDS)
        async with AsyncExitStack() as stack:
            marks = await mark(stack, self._renderer, film, kept.watermarks, overlays)
            kept = replace(kept, mark=marks)
            match ending:
                case "audio":
                    yield [await audio(stack, film, kept, told)]
                case "waveform":
                    yield [await waveform(stack, film, kept, message, told)]
                case "transcode":
                    yield [await transcode(stack, film, kept, message, self._profiles, told)]
                case "frame":
                    yield [await frame(stack, film, kept, message)]
                case "frames":
                    yield [await frames(stack, film, kept, message, told)]
                case "storyboard":
                    yield await storyboard(stack, film, kept, message, name, told)
                case "preview":
                    yield [await preview(stack, film, kept, message, told)]


def no_pictures(name: str) -> FailedPrecondition:
    return FailedPrecondition(
        Reason.OPERATION_NOT_APPLICABLE,
        f"The film has no pictures, which {name} takes.",
    )
