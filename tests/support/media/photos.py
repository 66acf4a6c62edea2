"""Images with the statistics of photos: the energy of details falls as 1/f, and edges are sharp."""

import numpy as np
import pyvips

WIDTH, HEIGHT = 640, 480
SHAPES = 12


def photo(seed: int) -> pyvips.Image:
    """A scene that no other seed has."""
    random = np.random.default_rng(seed)
    rows, columns = np.fft.fftfreq(HEIGHT)[:, None], np.fft.fftfreq(WIDTH)[None, :]
    falling = 1 / np.maximum(np.hypot(rows, columns), 1 / WIDTH) ** 1.2
    channels = []
    shared = random.normal(size=(HEIGHT, WIDTH))
    for _ in range(3):
        noise = np.fft.fft2(shared + 0.5 * random.normal(size=(HEIGHT, WIDTH)))
        channel = np.fft.ifft2(noise * falling).real
        channels.append(128 + 50 * (channel - channel.mean()) / channel.std())
    pixels = np.stack(channels, axis=2)
    for _ in range(SHAPES):
        x, y = random.integers(0, WIDTH), random.integers(0, HEIGHT)
        width, height = random.integers(30, 200, 2)
        pixels[y : y + height, x : x + width] += random.normal(0, 60, 3)
    return from_pixels(pixels)


def from_pixels(pixels: object) -> pyvips.Image:
    data = np.clip(np.asarray(pixels), 0, 255).astype(np.uint8)
    height, width, bands = data.shape
    image = pyvips.Image.new_from_memory(data.tobytes(), width, height, bands, "uchar")
    return image.copy(interpretation="srgb")


def cropped(
    image: pyvips.Image, left: float, right: float, top: float, bottom: float
) -> pyvips.Image:
    """Without these shares of its sides."""
    width, height = image.width, image.height
    return image.crop(
        round(width * left),
        round(height * top),
        round(width * (1 - left - right)),
        round(height * (1 - top - bottom)),
    )


def watermarked(image: pyvips.Image) -> pyvips.Image:
    text = pyvips.Image.text("(c) Ann Example", width=image.width // 3, dpi=200)
    white = pyvips.Image.black(text.width, text.height, bands=3) + 255
    mark = white.cast("uchar").bandjoin(text).copy(interpretation="srgb")
    x, y = image.width - text.width - 10, image.height - text.height - 10
    return image.composite2(mark, "over", x=x, y=y).flatten()


def jpeg_of(image: pyvips.Image, quality: int = 85) -> bytes:
    return bytes(image.jpegsave_buffer(Q=quality))


def copies(image: pyvips.Image) -> dict[str, pyvips.Image]:
    """What happens to images on their way through the web."""
    compressed = pyvips.Image.new_from_buffer(jpeg_of(image, 35), "")
    return {
        "scaled": image.resize(0.4),
        "stretched": image.resize(0.6, vscale=0.55),
        "compressed": compressed,
        "cropped": cropped(image, 0.025, 0.025, 0.025, 0.025),
        "cropped left": cropped(image, 0.05, 0, 0, 0),
        "cropped right": cropped(image, 0, 0.05, 0, 0),
        "cropped top": cropped(image, 0, 0, 0.05, 0),
        "cropped bottom": cropped(image, 0, 0, 0, 0.05),
        "watermarked": watermarked(image),
        "brighter": (image * 1.15 + 5).cast("uchar").copy(interpretation="srgb"),
    }
