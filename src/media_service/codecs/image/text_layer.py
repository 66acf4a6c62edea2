"""Text as a picture of its letters, in the sandbox's only font: Roboto, which has Latin, Greek and
Cyrillic letters."""

from html import escape

import pyvips

from media_service.codecs.image.geometry import PLACES, Image, Size

# Height of a line of Roboto, as a multiple of the font's size.
LINE = 1.172
# The size in which it is tried out whether a text fits.
TRIAL = 16.0
ALIGN = {0.0: "low", 0.5: "centre", 1.0: "high"}


def lettering(text: str, line: float, room: Size, gravity: int) -> Image | None:
    """One band, 255 where letters are, in lines of this height, or as high as fit into the room.

    None: nothing is to be seen, such as of spaces.
    """
    size = max(1.0, line / LINE)
    align = ALIGN[PLACES[gravity][0]]
    while not (drawn := fits(text, size, room, align)):
        size *= 0.9
    return drawn[0]


def fits(text: str, size: float, room: Size, align: str) -> tuple[Image | None] | None:
    """The letters, if they fit; tried out in small, for what does not fit may be huge."""
    part = TRIAL / size
    if part < 1 and exceeds(draw(text, TRIAL, room[0] * part, align), room, part):
        return None
    letters = draw(text, size, room[0], align)
    if size > 1 and exceeds(letters, room, 1):
        return None
    return (letters,)


def exceeds(letters: Image | None, room: Size, part: float) -> bool:
    return letters is not None and (
        letters.width > room[0] * part or letters.height > room[1] * part
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
