"""The named filters, compared with an independent implementation of their recipes in Pillow."""

from functools import cache

import numpy as np
import pilgram
import pytest
import pyvips
from PIL import Image

from docs.scene import scene
from media_service.codecs.pipeline import operation_fields as fields
from tests.support.media.goldens import apart
from tests.support.media.images import Make

FILTERS = fields.filters()
ELSEWHERE = [name for name in FILTERS if hasattr(pilgram, name)]
# Mean and 99th percentile of the difference, out of 255. Pillow rounds after every step.
CLOSE = (2.5, 7)
# The reference mixes the layer's colors with the image before it burns. Browsers mix afterwards.
UNLIKE = {"xpro2": (5, 25)}


@cache
def photo(kind: str) -> pyvips.Image:
    """A square photo: the reference's horizontal gradients are correct only for squares."""
    if kind == "scene":
        return scene(150, 150)
    noise = np.random.default_rng(1).integers(0, 256, (150, 150, 3), dtype=np.uint8)
    smooth = pyvips.Image.new_from_array(noise).copy(interpretation="srgb").gaussblur(2)
    return (smooth - 128).linear(4, 128).cast("uchar").copy_memory()


@pytest.mark.parametrize("kind", ["scene", "every color"])
@pytest.mark.parametrize("name", ELSEWHERE)
async def test_filters_match_the_reference_implementation(make: Make, name: str, kind: str) -> None:
    image = photo(kind)
    theirs = getattr(pilgram, name)(Image.fromarray(image.numpy()))
    difference = apart(await make(name, image), pyvips.Image.new_from_array(np.asarray(theirs)))
    mean, most = UNLIKE.get(name, CLOSE)
    assert difference.mean(axis=(0, 1)).max() <= mean
    assert np.percentile(difference, 99) <= most


@pytest.fixture(scope="module")
def rendered() -> dict[str, pyvips.Image]:
    """The sample with each filter, for `filtered`."""
    return {}


async def filtered(make: Make, rendered: dict[str, pyvips.Image], name: str) -> pyvips.Image:
    if name not in rendered:
        rendered[name] = await make(name)
    return rendered[name]


@pytest.mark.parametrize("name", FILTERS)
async def test_filters_differ_from_the_original_and_from_one_another(
    make: Make, rendered: dict[str, pyvips.Image], sample: pyvips.Image, name: str
) -> None:
    image = await filtered(make, rendered, name)
    assert apart(image, sample).mean() > 3
    other = FILTERS[FILTERS.index(name) - 1]
    assert apart(image, await filtered(make, rendered, other)).mean() > 3


@pytest.mark.parametrize("name", FILTERS)
async def test_amount_scales_a_filter(
    make: Make, rendered: dict[str, pyvips.Image], sample: pyvips.Image, name: str
) -> None:
    full, half = await filtered(make, rendered, name), await make(f"{name}:0.5")
    assert apart(await make(f"{name}:0"), sample).max() == 0
    between = ((sample + full) / 2).cast("uchar")
    assert apart(half, between).max() <= 1


async def test_filters_keep_alpha(make: Make, sample: pyvips.Image) -> None:
    alpha = (pyvips.Image.xyz(120, 80)[0] * 2).cast("uchar")
    image = await make("sutro", sample.bandjoin(alpha))
    assert apart(image[3], alpha).max() == 0
    assert apart(image[0:3], await make("sutro")).max() == 0
