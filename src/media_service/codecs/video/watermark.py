"""What is laid over a film: its watermarks, as one picture that is transparent elsewhere."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.source import ImageSource
from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.pipeline.text_form import canonical_text
from media_service.codecs.video.source import AvSource
from media_service.temporary_files import temporary_file

PNG = "image/png"


async def mark(
    stack: AsyncExitStack,
    renderer: ImageRenderer,
    film: AvSource,
    watermarks: Sequence[Any],
    overlays: Mapping[str, ImageSource],
) -> Path | None:
    """A PNG as large as the film; its marks are where those of a picture of this size would be.
    Raises as `ImageRenderer.render`."""
    if not watermarks:
        return None
    blank = stack.enter_context(temporary_file("media-render-"))
    blank.write(one_pixel())
    blank.flush()
    size = Operation.Resize(
        width=film.width, height=film.height, fit=Operation.Resize.FILL, enlarge=True
    )
    steps = [Operation(resize=size), *(Operation(watermark=each) for each in watermarks)]
    steps.append(Operation(convert=Operation.Convert(format=Operation.PNG)))
    rendering = renderer.render(
        ImageSource(Path(blank.name), PNG, 1, 1), canonical_text(steps), overlays=overlays
    )
    return (await stack.enter_async_context(rendering)).path


def one_pixel() -> bytes:
    """The smallest transparent PNG: 8 bits of red, green, blue and alpha."""
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", 1, 1, 8, 6, 0, 0, 0),
        b"IDAT": zlib.compress(bytes(5)),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts.items()
    )
