"""Color effects, blur and sharpening follow the contract and the W3C specifications."""

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray

from tests.support.media.goldens import apart
from tests.support.media.images import Make

# The matrices of W3C Filter Effects Module Level 1: https://www.w3.org/TR/filter-effects-1/
SATURATE_HALF = [
    [0.213 + 0.787 * 0.5, 0.715 - 0.715 * 0.5, 0.072 - 0.072 * 0.5],
    [0.213 - 0.213 * 0.5, 0.715 + 0.285 * 0.5, 0.072 - 0.072 * 0.5],
    [0.213 - 0.213 * 0.5, 0.715 - 0.715 * 0.5, 0.072 + 0.928 * 0.5],
]
HUE_90 = [
    [0.213 - 0.213, 0.715 - 0.715, 0.072 + 0.928],
    [0.213 + 0.143, 0.715 + 0.140, 0.072 - 0.283],
    [0.213 - 0.787, 0.715 + 0.715, 0.072 + 0.072],
]
SEPIA = [[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]]
GRAY = [[0.2126, 0.7152, 0.0722]] * 3


def patches(*colors: tuple[int, ...]) -> pyvips.Image:
    """One pixel of each color."""
    pixels = np.array([colors], dtype=np.uint8)
    return pyvips.Image.new_from_array(pixels).copy(interpretation="srgb")


def colors(image: pyvips.Image) -> list[tuple[int, ...]]:
    return [tuple(int(value) for value in pixel) for pixel in image.numpy()[0]]


def luminance(image: pyvips.Image) -> NDArray[np.float64]:
    levels: NDArray[np.float64] = image.numpy().astype(float) @ np.array(GRAY[0])
    return levels


@pytest.mark.parametrize(
    ("pipeline", "matrix"),
    [
        ("saturation:0.5", SATURATE_HALF),
        ("hue:90", HUE_90),
        ("hue:-270", HUE_90),
        ("sepia", SEPIA),
        ("sepia:0", np.eye(3)),
        ("sepia:0.5", np.eye(3) / 2 + np.array(SEPIA) / 2),
        ("grayscale", GRAY),
        ("saturation:0", [[0.213, 0.715, 0.072]] * 3),
        ("saturation:1", np.eye(3)),
        ("hue:360", np.eye(3)),
    ],
)
async def test_color_matrices_match_the_w3c_specification(
    make: Make, sample: pyvips.Image, pipeline: str, matrix: list[list[float]]
) -> None:
    expected = (sample.numpy() @ np.array(matrix).T).clip(0, 255)
    difference = np.abs((await make(pipeline)).numpy() - expected)
    assert difference.max() <= 0.51


@pytest.mark.parametrize(
    ("pipeline", "expected"),
    [
        ("brightness:2", [(0, 0, 0), (20, 200, 255), (255, 255, 255)]),
        ("brightness:0", [(0, 0, 0), (0, 0, 0), (0, 0, 0)]),
        ("contrast:0", [(128, 128, 128)] * 3),
        ("contrast:2", [(0, 0, 0), (0, 73, 255), (255, 255, 255)]),
        ("gamma:2", [(0, 0, 0), (50, 160, 226), (255, 255, 255)]),
        ("gamma:0.5", [(0, 0, 0), (0, 39, 157), (255, 255, 255)]),
        ("negate", [(255, 255, 255), (245, 155, 55), (0, 0, 0)]),
    ],
)
async def test_tone_curves_give_the_documented_values(
    make: Make, pipeline: str, expected: list[tuple[int, ...]]
) -> None:
    assert (
        colors(await make(pipeline, patches((0, 0, 0), (10, 100, 200), (255, 255, 255))))
        == expected
    )


EFFECTS = [
    "brightness",
    "contrast",
    "saturation",
    "hue",
    "gamma",
    "grayscale",
    "sepia",
    "tint",
    "negate",
]


@pytest.mark.parametrize("effect", [*EFFECTS, "sharpen", "clarendon", "maven", "willow"])
async def test_effects_keep_alpha(make: Make, sample: pyvips.Image, effect: str) -> None:
    alpha = (pyvips.Image.xyz(120, 80)[0] * 2).cast("uchar")
    image = await make(effect, sample.bandjoin(alpha))
    assert apart(image[3], alpha).max() == 0
    if effect != "sharpen":
        assert apart(image[0:3], await make(effect)).max() == 0


async def test_tint_keeps_black_white_and_every_lightness(make: Make, sample: pyvips.Image) -> None:
    black, gray, white = colors(
        await make("tint:ff8800", patches((0,) * 3, (128,) * 3, (255,) * 3))
    )
    assert (black, white) == ((0, 0, 0), (255, 255, 255))
    assert gray[0] > gray[1] > gray[2]
    # Luminosity as in the W3C blend mode `color`.
    share = np.array([0.3, 0.59, 0.11])
    tinted = (await make("tint:ff8800")).numpy() @ share
    assert np.abs(tinted - sample.numpy() @ share).max() <= 1.5


async def test_a_gray_tint_gives_a_gray_image(make: Make) -> None:
    red, green, blue = (await make("tint:808080")).bandsplit()
    assert apart(red, green).max() == apart(green, blue).max() == 0


@pytest.mark.parametrize("sigma", [0.5, 1, 4, 11, 12.5, 30, 80])
async def test_a_blur_has_the_requested_standard_deviation(make: Make, sigma: float) -> None:
    # An edge becomes the integral of the Gaussian, whose slope is the Gaussian.
    width = round(sigma * 12) + 20
    edge = pyvips.Image.black(width, 40, bands=3) + 20
    edge = edge.insert(edge.crop(0, 0, width // 2, 40) + 200, width // 2, 0)
    row = (await make(f"blur:{sigma}", edge.cast("uchar").copy(interpretation="srgb"))).numpy()
    slope = np.diff(row[20, :, 0].astype(float))
    places = np.arange(len(slope)) + 1
    middle = (slope * places).sum() / slope.sum()
    spread = np.sqrt((slope * (places - middle) ** 2).sum() / slope.sum())
    assert spread == pytest.approx(sigma, rel=0.08)
    assert middle == pytest.approx(width // 2, abs=0.1)


@pytest.mark.parametrize("height", [1, 3, 50, 300])
@pytest.mark.parametrize("turned", [False, True])
async def test_a_thin_image_is_blurred_as_much_as_a_wide_one(
    make: Make, height: int, turned: bool
) -> None:
    """A blurred edge is a normal distribution: it reaches a sixth one sigma before the edge."""
    black = pyvips.Image.black(1200, height, bands=3).copy(interpretation="srgb")
    edge = black.insert(black.invert(), 1200, 0, expand=True)
    made = await make("blur:200", edge.rot90() if turned else edge)
    row = (made.rot270() if turned else made).numpy()[height // 2, :, 0]
    sixth, most = (int(np.argmax(row > 255 * part)) for part in (0.1587, 0.8413))
    assert abs(1200 - sixth - 200) <= 10
    assert abs(most - 1200 - 200) <= 10


async def test_alpha_does_not_darken_the_image(make: Make) -> None:
    noise = pyvips.Image.gaussnoise(121, 81, mean=128, sigma=40, seed=1).cast("uchar")
    noise = noise.bandjoin([noise.fliphor(), noise.rot180()]).copy(interpretation="srgb")
    for effect in ("resize:60x", "resize:100x", "resize:60x81:fit=FILL"):
        opaque, clear = await make(effect, noise), await make(effect, noise.addalpha())
        assert abs(opaque.avg() - clear[0:3].avg()) < 0.2, effect
    half = noise.bandjoin(200)
    for effect in ("round_corners:9:background=00000000", "pad:9,round_corners:9:background=fff"):
        made = await make(effect, half)
        left, top = (made.width - 121) // 2, (made.height - 81) // 2
        inside = made.crop(left + 20, top + 20, 81, 41) - half.crop(20, 20, 81, 41)
        assert inside.abs().max() == 0, effect


@pytest.mark.parametrize("effect", ["blur:6", "blur:40", "sharpen:5:3"])
async def test_transparent_pixels_do_not_bleed_into_their_neighbors(
    make: Make, effect: str
) -> None:
    # Red beside fully transparent green.
    red, green = [200, 20, 20, 255], [0, 255, 0, 0]
    image = (pyvips.Image.black(120, 60, bands=4) + red).cast("uchar")
    image = image.insert((pyvips.Image.black(60, 60, bands=4) + green).cast("uchar"), 60, 0)
    pixels = (await make(effect, image.copy(interpretation="srgb"))).numpy().astype(int)
    # The difference, weighted by opacity.
    bled = np.abs(pixels[..., :3] - [200, 20, 20]) * pixels[..., 3:] / 255
    assert bled.max() <= 3


@pytest.mark.parametrize("effect", ["blur:5", "blur:50", "sharpen:3:2"])
async def test_a_plain_color_is_unchanged_by_a_blur(make: Make, effect: str) -> None:
    image = pyvips.Image.black(90, 70, bands=3).linear(1, [37, 141, 230]).cast("uchar")
    assert apart(await make(effect, image.copy(interpretation="srgb")), image).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (301, 7)])
@pytest.mark.parametrize(
    "effect", ["blur:0.3", "blur:200", "sharpen:10:10", "sutro", "perpetua", "aden", "text:ab"]
)
async def test_effects_work_on_small_and_thin_images(
    make: Make, sample: pyvips.Image, size: tuple[int, int], effect: str
) -> None:
    image = sample.resize(size[0] / 120, vscale=size[1] / 80)
    made = await make(effect, image)
    assert (made.width, made.height) == size


async def test_sharpening_changes_edges_but_not_hues(make: Make, sample: pyvips.Image) -> None:
    sharp = await make("sharpen:1:2")
    assert luminance(sharp).std() > luminance(sample).std() * 1.05
    colourful = [np.ptp(image.numpy(), axis=2).mean() for image in (sharp, sample)]
    assert colourful[0] < colourful[1] * 1.02
    assert apart(await make("sharpen:1:0"), sample).max() == 0


@pytest.mark.parametrize("effect", ["blur:2", "blur:90", "sharpen:10:2", "rise"])
async def test_effects_read_large_images_from_top_to_bottom(make: Make, effect: str) -> None:
    """An effect that reads lines no longer kept would fail or give wrong pixels."""
    noise = pyvips.Image.gaussnoise(200, 9000, mean=128, sigma=60, seed=7).cast("uchar")
    tall = noise.bandjoin([noise.fliphor(), noise.rot180()]).copy(interpretation="srgb")
    made = await make(effect, tall.copy_memory())
    part = await make(effect, tall.crop(0, 4000, 200, 1500).copy_memory())
    if effect != "rise":  # its center depends on the image's height
        same = apart(made.crop(0, 4600, 200, 300), part.crop(0, 600, 200, 300))
        assert same.mean() <= 1
    assert (made.width, made.height) == (200, 9000)
