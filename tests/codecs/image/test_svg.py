"""SVG drawings are rendered and can neither run scripts nor read files or hosts."""

import asyncio
from pathlib import Path

import pytest
import pyvips

from media_service.codecs.image.source import ImageSource
from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.inspector import Inspector
from media_service.codecs.pipeline.pipeline import stored_pipeline
from media_service.codecs.sandbox.forks import ForkServer
from media_service.errors import MediaError, Reason
from tests.support.media.images import four, refusal

HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    ' width="80" height="60">'
)
GREEN = '<rect width="80" height="60" fill="#0f0"/>'
DRAWING = (
    HEAD
    + '<rect width="40" height="30" fill="#f00"/><rect x="40" width="40" height="30" fill="#0f0"/>'
    '<rect x="40" y="30" width="40" height="30" fill="#00f"/></svg>'
)


def drawing(tmp_path: Path, text: str = DRAWING, size: tuple[int, int] = (80, 60)) -> ImageSource:
    path = tmp_path / "drawing.svg"
    path.write_text(text)
    return ImageSource(path, "image/svg+xml", *size, 1)


async def seen(
    renderer: ImageRenderer, source: ImageSource, pipeline: str = "convert:PNG"
) -> pyvips.Image:
    async with renderer.render(source, stored_pipeline(pipeline)) as made:
        return pyvips.Image.pngload_buffer(made.path.read_bytes()).copy_memory()


async def test_an_svg_is_rendered(
    renderer: ImageRenderer, inspector: Inspector, tmp_path: Path
) -> None:
    source = drawing(tmp_path)
    info = (await inspector.inspect(source.path, "IMAGE", source.content_type)).info
    assert (info.width, info.height, info.has_alpha) == (80, 60, True)
    assert four(await seen(renderer, source)) == "rgb-"
    small = await seen(renderer, source, "resize:40x,convert:PNG")
    assert (small.width, small.height, four(small)) == (40, 30, "rgb-")


@pytest.mark.parametrize(
    ("pipeline", "size"),
    [
        ("resize:800x", (800, 600)),
        ("resize:300x300:fit=COVER", (300, 300)),
        ("resize:400x400:fit=CONTAIN:background=00000000", (400, 400)),
        ("resize:640x60:fit=FILL", (640, 60)),
        ("resize:40x", (40, 30)),
    ],
)
async def test_an_svg_is_drawn_at_the_target_size(
    renderer: ImageRenderer, tmp_path: Path, pipeline: str, size: tuple[int, int]
) -> None:
    """The drawing is not scaled up afterwards, so the edge between two colors is sharp."""
    image = await seen(renderer, drawing(tmp_path), f"{pipeline},convert:PNG")
    assert (image.width, image.height) == size
    row = [image(x, 8 if size[1] < 100 else size[1] // 3)[:2] for x in range(image.width)]
    sharp = [pixel for pixel in row if pixel in ([255, 0], [0, 255], [0, 0])]
    assert len(row) - len(sharp) <= 8
    assert row.count([255, 0]) > 0.3 * min(size) < row.count([0, 255]) + 1


async def test_an_svg_is_not_drawn_above_the_pixel_limit(
    fork_server: ForkServer, tmp_path: Path
) -> None:
    async with ImageRenderer(fork_server, 1, 1_000_000, 1 << 24) as small:
        reason = await refusal(small, drawing(tmp_path), "resize:4000x")
        assert reason is Reason.PROCESSING_LIMIT_EXCEEDED
        # A proportional drawing of this width would exceed the limit before it is squeezed.
        flat = await seen(small, drawing(tmp_path), "resize:4000x10:fit=FILL,convert:PNG")
        assert (flat.width, flat.height) == (4000, 10)


async def test_a_rendered_svg_is_a_png_by_default(renderer: ImageRenderer, tmp_path: Path) -> None:
    async with renderer.render(drawing(tmp_path), stored_pipeline("")) as made:
        assert made.content_type == "image/png"


@pytest.mark.parametrize("scheme", ["file", "path", "http"])
async def test_references_to_files_and_hosts_are_not_followed(
    renderer: ImageRenderer, tmp_path: Path, scheme: str
) -> None:
    """The rest of the drawing is rendered."""
    asked = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    red = tmp_path / "red.png"
    pyvips.Image.black(80, 60, bands=3).linear(1, [255, 0, 0]).cast("uchar").pngsave(str(red))
    target = {
        "file": red.as_uri(),
        "path": "red.png",
        "http": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/red.png",
    }[scheme]
    hostile = (
        f'{HEAD}<style>@import url("{target}");</style>{GREEN}'
        f'<image width="80" height="60" xlink:href="{target}"/>'
        f'<image width="80" height="60" href="{target}"/>'
        f'<use xlink:href="{target}#x"/></svg>'
    )
    async with server:
        assert four(await seen(renderer, drawing(tmp_path, hostile))) == "gggg"
        assert not asked.is_set()


async def test_scripts_do_not_run(renderer: ImageRenderer, tmp_path: Path) -> None:
    paint = 'document.querySelector("rect").setAttribute("fill", "#f00");'
    head = HEAD.replace("<svg", "<svg onload='paint()'")
    hostile = f"{head}{GREEN}<script>function paint() {{{paint}}} paint();</script></svg>"
    assert four(await seen(renderer, drawing(tmp_path, hostile))) == "gggg"


async def test_entities_that_name_files_are_not_read(
    renderer: ImageRenderer, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text('<rect width="80" height="60" fill="#f00"/>')
    entity = f'<!DOCTYPE svg [<!ENTITY x SYSTEM "{(tmp_path / "secret").as_uri()}">]>'
    source = drawing(tmp_path, f"{entity}{HEAD}{GREEN}&x;</svg>")
    assert await refusal(renderer, source, "") is Reason.MEDIA_CORRUPT


async def test_an_entity_bomb_is_refused_and_the_next_svg_is_drawn(
    renderer: ImageRenderer, tmp_path: Path
) -> None:
    bomb = '<!ENTITY a "lol">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(12)
    )
    hostile = drawing(tmp_path, f"<!DOCTYPE svg [{bomb}]>{HEAD}<text>&m;</text></svg>")
    assert await refusal(renderer, hostile, "") in {
        Reason.MEDIA_CORRUPT,
        Reason.PROCESSING_LIMIT_EXCEEDED,
    }
    assert four(await seen(renderer, drawing(tmp_path))) == "rgb-"


async def test_a_huge_drawing_is_refused(
    renderer: ImageRenderer, inspector: Inspector, tmp_path: Path
) -> None:
    huge = drawing(
        tmp_path,
        DRAWING.replace('width="80"', 'width="30000"').replace('height="60"', 'height="30000"'),
    )
    with pytest.raises(MediaError) as error:
        await inspector.inspect(huge.path, "IMAGE", huge.content_type)
    assert error.value.reason is Reason.PIXEL_LIMIT_EXCEEDED
    assert await refusal(renderer, huge, "resize:10x") is Reason.PROCESSING_LIMIT_EXCEEDED


def letters(text: str, style: str = "") -> str:
    return f'{HEAD}<text x="2" y="40" font-size="24" {style}>{text}</text></svg>'


@pytest.mark.parametrize("before", ["", "text:A:size=0.5"])
async def test_svg_text_is_set_in_roboto_whatever_was_drawn_before(
    fork_server: ForkServer, tmp_path: Path, before: str
) -> None:
    async with ImageRenderer(fork_server, 1, 1_000_000, 1 << 24) as fresh:

        async def drawn(text: str, style: str = "") -> pyvips.Image:
            return await seen(fresh, drawing(tmp_path, letters(text, style)))

        await seen(fresh, drawing(tmp_path), f"{before},convert:PNG".removeprefix(","))
        for family in ("Arial", "sans-serif", "serif", "monospace", "Roboto"):
            narrow, wide = [
                (await drawn(text, f'font-family="{family}"'))[3].find_trim(background=0)[2]
                for text in ("iii", "MMM")
            ]
            # Boxes for missing glyphs all have the same width.
            assert 0 < narrow < wide / 2, family
        plain, bold = await drawn("Жω"), await drawn("Жω", 'font-weight="bold"')
        assert bold[3].avg() > plain[3].avg() * 1.1
        named = await drawn("Жω", 'font-family="Roboto"')
        assert (named - plain).abs().max() == 0


@pytest.mark.parametrize("size", ['width="1e9" height="10"', 'viewBox="0 0 1e9 1"'])
async def test_a_drawing_of_a_billion_pixels_is_refused(
    renderer: ImageRenderer, inspector: Inspector, tmp_path: Path, size: str
) -> None:
    """libvips reports a size of a few pixels for it."""
    source = drawing(tmp_path, f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{GREEN}</svg>')
    info = (await inspector.inspect(source.path, "IMAGE", source.content_type)).info
    source = ImageSource(source.path, source.content_type, info.width, info.height, 1)
    for pipeline in ("resize:100x", "resize:100x100:fit=FILL"):
        assert await refusal(renderer, source, pipeline) is Reason.MEDIA_CORRUPT
