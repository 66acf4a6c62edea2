"""Pictures as files."""

from dataclasses import dataclass
from typing import Any

import pyvips
from media.v1.operation_pb2 import Operation

from media_service.errors import Reason, TooLarge
from media_service.processing.image.formats import Format
from media_service.processing.image.geometry import Image

Chroma = Operation.Convert
WHITE = [255, 255, 255]
SUBSAMPLING = {Chroma.AUTO: "auto", Chroma.HALF: "on", Chroma.FULL: "off"}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a picture is written. `keep`: with the EXIF tags it has."""

    format: Format
    quality: int
    convert: Operation.Convert
    keep: bool

    def options(self) -> dict[str, Any]:
        """What libvips' saver of the format takes."""
        effort = self.convert.effort if self.convert.HasField("effort") else None
        options: dict[str, Any] = {"keep": "exif" if self.keep else "none"}
        match self.format.name:
            case "JPEG":
                options |= {
                    "Q": self.quality,
                    "interlace": self.convert.progressive,
                    "optimize_coding": True,
                    "subsample_mode": SUBSAMPLING[self.convert.chroma],
                }
                if effort is not None and effort > 4:
                    options |= {"trellis_quant": True, "overshoot_deringing": True}
            case "PNG":
                options |= {
                    "compression": 6 if effort is None else effort,
                    "interlace": self.convert.progressive,
                }
            case "WEBP":
                options |= {
                    "Q": self.quality,
                    "lossless": self.convert.lossless,
                    "effort": 4 if effort is None else round(effort * 6 / 9),
                    # Colours are always at half of the resolution; this makes the best of it.
                    "smart_subsample": self.convert.chroma == Chroma.FULL,
                }
            case "AVIF":
                options |= {
                    "Q": self.quality,
                    "lossless": self.convert.lossless,
                    "effort": 4 if effort is None else effort,
                    "subsample_mode": SUBSAMPLING[self.convert.chroma],
                    "bitdepth": 8,
                    "compression": "av1",
                }
            case "GIF":
                options |= {"effort": 7 if effort is None else effort + 1}
            case "TIFF":
                options |= {"compression": "deflate", "predictor": "horizontal"}
        return options


SAVERS = {
    "JPEG": "jpegsave",
    "PNG": "pngsave",
    "WEBP": "webpsave",
    "AVIF": "heifsave",
    "GIF": "gifsave",
    "TIFF": "tiffsave",
}


def encode(image: Image, encoding: Encoding, output: int) -> None:
    """Writes to the open file `output`."""
    target = pyvips.Target.new_to_descriptor(output)
    getattr(image, f"{SAVERS[encoding.format.name]}_target")(target, **encoding.options())


def suited(image: Image, form: Format, height: int) -> Image:
    """Without what the format cannot hold; `height`: of one frame. Raises TooLarge
    (PROCESSING_LIMIT_EXCEEDED)."""
    if max(image.width, height) > form.side:
        raise TooLarge(
            Reason.PROCESSING_LIMIT_EXCEEDED,
            f"{form.name} has at most {form.side} pixels on a side, not {image.width} × {height}.",
        )
    if image.hasalpha() and not form.alpha:
        return image.flatten(background=WHITE)
    return image
