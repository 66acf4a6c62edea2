"""Sound by itself."""

from contextlib import AsyncExitStack

from media_service.codecs.audio.edit_chain import edited, no_sound
from media_service.codecs.audio.encoder_settings import encoding
from media_service.codecs.audio.loudness import correction
from media_service.codecs.ffmpeg.run import coding, opened
from media_service.codecs.output import Output
from media_service.codecs.progress import ProgressCallback, between, seconds
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.source import AvSource

# What the original says of itself stays behind: tags, chapters, pictures of its cover.
BARE = {
    "map_metadata": -1,
    "map_chapters": -1,
    "fflags": "+bitexact",
    "flags:a": "+bitexact",
}


async def audio(
    stack: AsyncExitStack, film: AvSource, edits: Edits, told: ProgressCallback
) -> Output:
    """A sound, or the first one of a film, as `edits.audio` says, or else like the original.

    Raises as `Program.wait`, and FailedPrecondition (OPERATION_NOT_APPLICABLE) if nothing is left.
    """
    form = encoding(film, edits.audio)
    begin = 0.6 if edits.normalize else 0.0
    louder = await correction(film, edits, between(told, 0, begin), form.channels)
    tell = seconds(between(told, begin, 1), edits.seconds)
    heard = 0.0

    def hear(done: float) -> None:
        nonlocal heard
        heard = done
        tell(done)

    file = stack.enter_context(opened(film.path))
    stream = louder.applied(edited(film, edits, file, form.channels))
    if form.layouts:
        stream = stream.filter("aformat", channel_layouts=form.layouts)
    output = stream.output(form.name, **BARE, **form.options)
    program = await stack.enter_async_context(coding(output, [file], progress=hear))
    await program.wait()
    if not heard:
        raise no_sound()
    return Output(program.folder / form.name, form.content_type)
