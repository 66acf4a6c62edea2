"""Draws all watermarks of a video as one frame that is transparent elsewhere."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.source import ImageSource
from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.pipeline.pipeline import Pipeline
from media_service.codecs.video.source import AvSource
from media_service.temporary_files import temporary_file

PNG = "image/png"


async def watermark_frame(
    stack: AsyncExitStack,
    renderer: ImageRenderer,
    source: AvSource,
    watermarks: Sequence[Operation.Watermark],
    overlays: Mapping[str, ImageSource],
) -> Path | None:
    """Renders a PNG of the video's size with the watermarks, at the positions they have on an image
    of this size. Returns None if there are none. Raises the errors of `ImageRenderer.render`."""
    if not watermarks:
        return None
    blank = stack.enter_context(temporary_file("media-render-"))
    blank.write(transparent_pixel())
    blank.flush()
    size = Operation.Resize(
        width=source.width, height=source.height, fit=Operation.Resize.FILL, enlarge=True
    )
    steps = [Operation(resize=size), *(Operation(watermark=each) for each in watermarks)]
    steps.append(Operation(convert=Operation.Convert(format=Operation.PNG)))
    rendering = renderer.render(
        ImageSource(Path(blank.name), PNG, 1, 1), Pipeline.of(steps), overlays=overlays
    )
    return (await stack.enter_async_context(rendering)).path


def transparent_pixel() -> bytes:
    """A PNG of one transparent pixel: 8 bits each of red, green, blue and alpha."""
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", 1, 1, 8, 6, 0, 0, 0),
        b"IDAT": zlib.compress(bytes(5)),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    )
