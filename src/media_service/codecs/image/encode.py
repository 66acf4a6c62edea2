"""Pictures as files."""

from dataclasses import dataclass
from typing import Any

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.formats import Format
from media_service.codecs.image.geometry import WHITE, Image
from media_service.errors import InvalidArgument, Reason

Chroma = Operation.Convert
SUBSAMPLING: dict[int, str] = {Chroma.AUTO: "auto", Chroma.HALF: "on", Chroma.FULL: "off"}
SAVERS = {
    "JPEG": "jpegsave_buffer",
    "PNG": "pngsave_buffer",
    "WEBP": "webpsave_buffer",
    "AVIF": "heifsave_buffer",
    "GIF": "gifsave_buffer",
    "TIFF": "tiffsave_buffer",
}
# How hard each tries if nothing is said, on its own scale: AVIF takes eight times as long at 4, for
# a twentieth fewer bytes.
EFFORT = {"PNG": 6, "WEBP": 4, "AVIF": 2, "GIF": 7}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a picture is written. `quality` counts where the format has one; `bits` per pixel make it
    one of few colours, in PNG and GIF."""

    format: Format
    quality: int
    bits: int | None
    convert: Operation.Convert
    keep_exif: bool

    @property
    def lossy(self) -> bool:
        return self.format.quality is not None and not self.convert.lossless

    def options(self) -> dict[str, Any]:
        """What libvips' saver of the format takes."""
        name, convert = self.format.name, self.convert
        effort = convert.effort if convert.HasField("effort") else None
        options: dict[str, Any] = {}
        match name:
            case "JPEG":
                options = {
                    "Q": self.quality,
                    "interlace": convert.progressive,
                    "optimize_coding": True,
                    "subsample_mode": SUBSAMPLING[convert.chroma],
                    "trellis_quant": effort is not None and effort > 4,
                }
            case "PNG":
                options = {
                    "compression": EFFORT[name] if effort is None else effort,
                    "interlace": convert.progressive,
                }
                if self.bits:
                    options |= {"palette": True, "bitdepth": self.bits}
            case "WEBP":
                options = {
                    "Q": self.quality,
                    "lossless": convert.lossless,
                    "effort": EFFORT[name] if effort is None else round(effort * 6 / 9),
                    # Colours are always at half of the resolution; this makes the best of it.
                    "smart_subsample": convert.chroma == Chroma.FULL,
                }
            case "AVIF":
                options = {
                    "Q": self.quality,
                    "lossless": convert.lossless,
                    "effort": EFFORT[name] if effort is None else effort,
                    "subsample_mode": SUBSAMPLING[convert.chroma],
                    "bitdepth": 8,
                    "compression": "av1",
                }
            case "GIF":
                options = {
                    "effort": EFFORT[name] if effort is None else effort + 1,
                    "bitdepth": self.bits or 8,
                }
            case "TIFF":
                options = {"compression": "deflate", "predictor": "horizontal"}
        return {**options, "keep": "exif" if self.keep_exif else "none"}


def encode(image: Image, encoding: Encoding) -> bytes:
    data: bytes = getattr(image, SAVERS[encoding.format.name])(**encoding.options())
    return data


def suited(image: Image, form: Format, height: int) -> Image:
    """Without what the format cannot hold; `height`: of one frame. Raises InvalidArgument
    (PROCESSING_LIMIT_EXCEEDED)."""
    if max(image.width, height) > form.side:
        raise InvalidArgument(
            Reason.PROCESSING_LIMIT_EXCEEDED,
            f"{form.name} has at most {form.side} pixels on a side, not {image.width} × {height}.",
        )
    if image.hasalpha() and not form.alpha:
        return image.flatten(background=WHITE)
    return image
