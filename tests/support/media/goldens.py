"""Golden images, which a person has reviewed. Renders must still look like them.

`RENEW_GOLDENS=1 pytest tests/codecs/image` writes them anew; look at them before committing.
"""

import os
from pathlib import Path

import numpy as np
import pyvips

FOLDER = Path(__file__).parents[2] / "codecs/image/goldens"
# Versions of libvips differ in rounding, and in scaling along edges.
MEAN, MOST = 0.75, 8


def golden(name: str, image: pyvips.Image) -> None:
    """Fails if an image differs visibly from the golden of this name."""
    path = FOLDER / f"{name}.png"
    if os.environ.get("RENEW_GOLDENS"):
        FOLDER.mkdir(exist_ok=True)
        image.pngsave(str(path), compression=9, filter="all")
    assert path.exists(), f"golden {name} is missing: create it with RENEW_GOLDENS=1 and review it"
    difference = apart(image, pyvips.Image.new_from_file(str(path)))
    assert difference.mean() <= MEAN, f"{name} differs by {difference.mean():.2f} on average"
    most = np.percentile(difference, 99)
    assert most <= MOST, f"a hundredth of {name} differs by {most}"


def apart(one: pyvips.Image, other: pyvips.Image) -> np.ndarray:
    """The absolute differences between the pixel values of two images."""
    assert (one.width, one.height, one.bands) == (other.width, other.height, other.bands)
    difference: np.ndarray = np.abs(one.numpy().astype(int) - other.numpy().astype(int))
    return difference
