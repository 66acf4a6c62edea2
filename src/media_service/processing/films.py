"""Makes films, sounds and pictures of films, in confined children."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from media_service.processing.film.edits import edits
from media_service.processing.film.film import Film
from media_service.processing.film.frame import frame
from media_service.processing.made import Made
from media_service.processing.pipeline.way import Step
from media_service.processing.sound.audio import audio
from media_service.processing.sound.waveform import waveform
from media_service.processing.source import Source
from media_service.processing.told import Told


class Films:
    """Of films and sounds."""

    @asynccontextmanager
    async def make(
        self, film: Film, steps: Sequence[Step], overlays: Mapping[str, Source], told: Told
    ) -> AsyncIterator[Sequence[Made]]:
        """What a pipeline makes of a film, up to where pictures begin, the main thing last;
        `overlays`: the pictures it names, by media id. The files are there for as
        long as the context lasts; leaving it kills what still runs.

        Raises InvalidArgument (MEDIA_CORRUPT), FailedPrecondition (OPERATION_NOT_APPLICABLE),
        TooLarge (PROCESSING_LIMIT_EXCEEDED), DataLoss (BLOB_MISSING), Unavailable
        (STORAGE_UNAVAILABLE, PROCESSING_UNAVAILABLE).
        """
        kept, rest = edits(steps, film.duration_seconds)
        async with AsyncExitStack() as stack:
            for name, message in rest[:1]:
                match name:
                    case "frame":
                        yield [await frame(stack, film, kept, message)]
                    case "waveform":
                        yield [await waveform(stack, film, kept, message, told)]
            if not rest and (kept.audio or not film.has_pictures):
                yield [await audio(stack, film, kept, told)]
