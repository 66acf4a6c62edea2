"""Draws text in Roboto, which has Latin, Greek and Cyrillic letters. Chinese, Japanese and Korean
text is in the other font of the sandbox."""

from html import escape

import pyvips

from media_service.codecs.image.geometry import ALIGNMENTS, Image, Size

# The height of a line of Roboto, relative to the font size.
LINE_HEIGHT = 1.172
# The font size of the first layout, which shows whether a text may fit.
TRIAL_SIZE = 16.0
ALIGN = {0.0: "low", 0.5: "centre", 1.0: "high"}


def draw_text(text: str, line: float, room: Size, gravity: int) -> Image | None:
    """Returns one band that is 255 in letters. `line` is the height of a line. It is reduced until
    the text fits `room`.

    Returns None if the text has no visible characters.
    """
    size = max(1.0, line / LINE_HEIGHT)
    align = ALIGN[ALIGNMENTS[gravity][0]]
    while not (drawn := fits(text, size, room, align)):
        size *= 0.9
    return drawn[0]


def fits(text: str, size: float, room: Size, align: str) -> tuple[Image | None] | None:
    """Returns the letters in a tuple, or None if they do not fit. A small font size is tried first,
    because text that does not fit may be huge."""
    scale = TRIAL_SIZE / size
    if scale < 1 and exceeds(draw(text, TRIAL_SIZE, room[0] * scale, align), room, scale):
        return None
    letters = draw(text, size, room[0], align)
    if size > 1 and exceeds(letters, room, 1):
        return None
    return (letters,)


def exceeds(letters: Image | None, room: Size, scale: float) -> bool:
    return letters is not None and (
        letters.width > room[0] * scale or letters.height > room[1] * scale
    )


def draw(text: str, size: float, width: float, align: str) -> Image | None:
    try:
        return pyvips.Image.text(
            escape(text, quote=False),
            font=f"Roboto Medium {size:.2f}",
            dpi=72,  # a point is a pixel
            width=max(1, round(width)),
            wrap="word-char",
            align=align,
        )
    except pyvips.Error as error:
        if "no text to render" in error.detail:
            return None
        raise
