"""The resource limits of each class of work.

Inspection and thumbnails take seconds, a page of a document tens of seconds, and video and audio
take longer the longer the input is. Memory limits suit the largest accepted input.
"""

from dataclasses import replace

from media_service.codecs.sandbox.limits import ResourceLimits
from media_service.errors import InvalidArgument, Reason

MEGA = 1_000_000

# The loaders of other types are less widely reviewed, or parse more. A child that has opened a file
# of another type serves no other task.
TRUSTED_TYPES = {"image/jpeg", "image/png", "image/webp"}

# The largest accepted image decodes in about ten seconds on one slow core.
INSPECTION_LIMITS = ResourceLimits(
    # A progressive JPEG of 250 megapixels needs 1.5 GiB to hold all its coefficients.
    memory_bytes=2 << 30,
    cpu_seconds=20,
    wall_seconds=40,
    # Inspection writes only the log messages of libraries.
    file_bytes=1 << 20,
    # 200 tags of 1000 characters and 500 chapter titles of 200, escaped.
    result_bytes=4 << 20,
    exceeded=Reason.INSPECTION_LIMIT_EXCEEDED,
)
# A video without a duration in its header is read to the end, from a shared disk.
INSPECTION_READ_BYTES_PER_SECOND = 20 * MEGA
# The most pages or frames, and the most elements of an SVG, that inspection reads.
MAX_PAGES = 10_000
MAX_ELEMENTS = 200_000

THUMBNAIL_LIMITS = ResourceLimits(
    # Twice the largest accepted image, decoded, and the libraries.
    memory_bytes=4 << 30,
    cpu_seconds=20,
    wall_seconds=40,
    file_bytes=1 << 30,
    result_bytes=1 << 16,
    exceeded=Reason.PROCESSING_LIMIT_EXCEEDED,
)
# An image pipeline in a job. AVIF takes seconds per megapixel; `compress` encodes several times.
IMAGE_LIMITS = replace(THUMBNAIL_LIMITS, cpu_seconds=120, wall_seconds=240)
IMAGE_BASE_SECONDS, IMAGE_SECONDS_PER_MEGAPIXEL = 30, 3
# A render on demand. Larger renders need a job.
ON_DEMAND_LIMITS = replace(THUMBNAIL_LIMITS, cpu_seconds=30, wall_seconds=15, file_bytes=64 << 20)
# The cost of a row of pixels, as a number of pixels: it has a cost however short it is.
ROW_PIXELS = 16

PAGE_LIMITS = ResourceLimits(
    # A page of 67 megapixels, and transparency groups of the same size.
    memory_bytes=2 << 30,
    cpu_seconds=30,
    wall_seconds=60,
    # A page of 8192 × 8192 pixels that PNG cannot compress; no document has that much text.
    file_bytes=256 << 20,
    result_bytes=1 << 16,
    exceeded=Reason.PROCESSING_LIMIT_EXCEEDED,
)
# Text of all pages takes a few milliseconds per page.
TEXT_PAGES_PER_SECOND = 150
# LibreOffice takes a few seconds, and uses half of the memory before it opens a document.
OFFICE_LIMITS = replace(PAGE_LIMITS, cpu_seconds=60, wall_seconds=120)

AV_LIMITS = ResourceLimits(
    # A frame of 8K takes 50 MiB, and decoders, filters and encoders hold dozens of them.
    memory_bytes=8 << 30,
    cpu_seconds=60,
    wall_seconds=120,
    file_bytes=64 << 30,
    result_bytes=0,
    exceeded=Reason.PROCESSING_LIMIT_EXCEEDED,
)
MAX_AV_CPU_SECONDS = 24 * 3600
# Processor time per second of the input: for audio, and for each megapixel of a frame. Encoding 4K
# in all rungs takes about a fifth of it.
AV_SECONDS, AV_SECONDS_PER_MEGAPIXEL = 2, 20
# Even silence and still images take more bytes per second. A header that claims a longer duration
# allows no more time.
MIN_BYTES_PER_SECOND = 125
# The lowest sample rate of audio that can be processed. At lower ones, FFmpeg decodes every sample
# on its own.
MIN_SAMPLE_RATE_HZ = 1000


def inspection_limits(size_bytes: int) -> ResourceLimits:
    """Limits of the inspection of a file of this size."""
    seconds = size_bytes // INSPECTION_READ_BYTES_PER_SECOND
    return longer(INSPECTION_LIMITS, seconds)


def image_limits(limits: ResourceLimits, pixels: int) -> ResourceLimits:
    """Limits of a render with this many pixels at its largest step, within `limits`."""
    cpu_seconds = round(IMAGE_BASE_SECONDS + IMAGE_SECONDS_PER_MEGAPIXEL * pixels / MEGA)
    return replace(
        limits,
        cpu_seconds=min(limits.cpu_seconds, cpu_seconds),
        wall_seconds=min(limits.wall_seconds, 2 * cpu_seconds),
    )


def text_limits(limits: ResourceLimits, pages: int) -> ResourceLimits:
    """Limits of the extraction of text from this many pages. `limits` are those for one page."""
    return longer(limits, pages // TEXT_PAGES_PER_SECOND)


def av_limits(seconds: float, pixels: int, size_bytes: int) -> ResourceLimits:
    """Limits of work on a video or audio file of this duration, frame size and file size."""
    seconds = min(seconds, size_bytes / MIN_BYTES_PER_SECOND)
    per_second = AV_SECONDS + AV_SECONDS_PER_MEGAPIXEL * pixels / MEGA
    return longer(AV_LIMITS, round(min(seconds * per_second, MAX_AV_CPU_SECONDS)))


def longer(limits: ResourceLimits, cpu_seconds: int) -> ResourceLimits:
    """Adds processor time, and twice as much time."""
    return replace(
        limits,
        cpu_seconds=limits.cpu_seconds + cpu_seconds,
        wall_seconds=limits.wall_seconds + 2 * cpu_seconds,
    )


def check_inspectable(name: str, number: int, most: int) -> None:
    """Raises InvalidArgument (INSPECTION_LIMIT_EXCEEDED) if a file has more pages or elements
    (`name`) than inspection reads."""
    if number > most:
        raise InvalidArgument(
            Reason.INSPECTION_LIMIT_EXCEEDED,
            f"The file has {number} {name}; the limit is {most}.",
            limit=name,
            value=most,
        )


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raises InvalidArgument (PIXEL_LIMIT_EXCEEDED) if an image has more pixels than the limit."""
    if width * height > max_pixels:
        raise too_many_pixels(f"The image has {width * height} pixels", max_pixels)


def too_many_pixels(found: str, max_pixels: int) -> InvalidArgument:
    return InvalidArgument(Reason.PIXEL_LIMIT_EXCEEDED, f"{found}; the limit is {max_pixels}.")
