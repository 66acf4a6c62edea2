"""Encodes images."""

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
# The default effort of each encoder, on its own scale. At effort 4, AVIF takes eight times as long
# and saves 5% of the bytes.
DEFAULT_EFFORT = {"PNG": 6, "WEBP": 4, "AVIF": 2, "GIF": 7}


@dataclass(frozen=True, slots=True)
class Encoding:
    """The settings of an encoder. `quality` applies to formats that have one. `bits` is the number
    of bits per pixel for a palette in PNG and GIF."""

    format: Format
    quality: int
    bits: int | None
    convert: Operation.Convert
    keep_exif: bool

    @property
    def lossy(self) -> bool:
        return self.format.quality is not None and not self.convert.lossless

    def options(self) -> dict[str, Any]:
        """The options of the format's saver in libvips."""
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
                    "compression": DEFAULT_EFFORT[name] if effort is None else effort,
                    "interlace": convert.progressive,
                }
                if self.bits:
                    options |= {"palette": True, "bitdepth": self.bits}
            case "WEBP":
                options = {
                    "Q": self.quality,
                    "lossless": convert.lossless,
                    "effort": DEFAULT_EFFORT[name] if effort is None else round(effort * 6 / 9),
                    # WebP always halves the color resolution; this reduces the artifacts.
                    "smart_subsample": convert.chroma == Chroma.FULL,
                }
            case "AVIF":
                options = {
                    "Q": self.quality,
                    "lossless": convert.lossless,
                    "effort": DEFAULT_EFFORT[name] if effort is None else effort,
                    "subsample_mode": SUBSAMPLING[convert.chroma],
                    "bitdepth": 8,
                    "compression": "av1",
                }
            case "GIF":
                options = {
                    "effort": DEFAULT_EFFORT[name] if effort is None else effort + 1,
                    "bitdepth": self.bits or 8,
                }
            case "TIFF":
                options = {"compression": "deflate", "predictor": "horizontal"}
        return {**options, "keep": "exif" if self.keep_exif else "none"}


def encode(image: Image, encoding: Encoding) -> bytes:
    data: bytes = getattr(image, SAVERS[encoding.format.name])(**encoding.options())
    return data


def adapted(image: Image, form: Format, height: int) -> Image:
    """Adapts an image to a format: removes alpha if the format has none. `height` is the height of
    one frame. Raises InvalidArgument (PROCESSING_LIMIT_EXCEEDED)."""
    if max(image.width, height) > form.max_side:
        raise InvalidArgument(
            Reason.PROCESSING_LIMIT_EXCEEDED,
            f"{form.name} is limited to {form.max_side} pixels per side; the image has"
            f" {image.width} × {height}.",
            limit="side_pixels",
            value=form.max_side,
        )
    if image.hasalpha() and not form.alpha:
        return image.flatten(background=WHITE)
    return image
