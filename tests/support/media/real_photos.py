"""Real photos, and bursts of them."""

from collections.abc import Sequence
from pathlib import Path

import pyvips

from tests.support.media.photos import cropped

FOLDER = Path(__file__).parent / "real"
# Two of them are lawns and stones, which look alike.
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.jpg")))
# In a burst, the camera moves by this share of the width from one photo to the next.
STEP = 0.02


def real_photo(name: str) -> pyvips.Image:
    image = pyvips.Image.new_from_file(str(FOLDER / f"{name}.jpg"))
    return image.colourspace("srgb").copy_memory()


def burst(name: str, count: int = 5) -> Sequence[pyvips.Image]:
    """Photos, each of which looks nearly like the next one, while the first and the last differ."""
    image, rest = real_photo(name), STEP * (count - 1)
    return [cropped(image, STEP * n, rest - STEP * n, 0, 0) for n in range(count)]
