"""Reads the size in the header of a JPEG XL file (ISO/IEC 18181), before any pixel is decoded."""

from typing import Any

from media_service.codecs.image.geometry import Size
from media_service.codecs.sandbox.exit_cause import corrupt

CODE_STREAM, CONTAINER = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
# The mark, and the longest size: 1 + 2 + 30 + 3 + 2 + 30 bits.
HEADER_BYTES = 2 + 9
MAX_BOXES = 10_000  # before the end of the header
# The widths of the field of a side.
SIDE_BITS = (9, 13, 18, 30)
# The width as a fraction of the height. Without a ratio, the width has a field of its own.
RATIOS = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def size(file: Any) -> Size:
    """Returns the size as it is stored, before rotation. Raises InvalidArgument (MEDIA_CORRUPT)."""
    file.seek(0)
    start = file.read(len(CONTAINER))
    header = start if start.startswith(CODE_STREAM) else b""
    if start == CONTAINER:
        header = code_stream(file)
    if not header.startswith(CODE_STREAM):
        raise corrupt("The image has no JPEG XL code stream.")
    return size_of(int.from_bytes(header[2:HEADER_BYTES], "little"))


def code_stream(file: Any) -> bytes:
    """Returns the beginning of the code stream. It may be split among boxes at any byte."""
    found = b""
    at = len(CONTAINER)
    for _ in range(MAX_BOXES):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            break
        length, kind, content = int.from_bytes(head[:4], "big"), head[4:], at + 8
        if length == 1:
            length, content = int.from_bytes(file.read(8), "big"), content + 8
        content += 4 if kind == b"jxlp" else 0  # the number of the part
        end = at + length
        if length and end < content:
            raise corrupt("A box of the image is shorter than its header.")
        if kind in (b"jxlc", b"jxlp"):
            file.seek(content)
            wanted = HEADER_BYTES - len(found)
            found += file.read(min(wanted, end - content) if length else wanted)
        if not length or len(found) == HEADER_BYTES:
            break
        at = end
    else:
        raise corrupt(f"The image has more than {MAX_BOXES} boxes before its code stream.")
    return found


def size_of(bits: int) -> Size:
    """Returns the size in a header. Its fields begin with the lowest bit."""

    def field(width: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << width) - 1), bits >> width
        return value

    small = field(1)

    def side() -> int:
        return (field(5) + 1) * 8 if small else field(SIDE_BITS[field(2)]) + 1

    height = side()
    numerator, denominator = RATIOS[field(3)]
    return (height * numerator // denominator if numerator else side()), height
