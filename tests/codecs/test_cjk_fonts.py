"""Chinese, Japanese and Korean text whose font is not in the file does not become boxes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from media_service.codecs.document_renderer import PDF, DocumentRenderer
from media_service.codecs.image.source import ImageSource
from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.pipeline.pipeline import stored_pipeline
from media_service.codecs.pipeline.route import find_route
from media_service.codecs.pipeline.validation import parsed_pipeline
from media_service.codecs.sandbox.fonts import CJK_FONTS
from media_service.codecs.sandbox.forks import ForkServer
from tests.support.media.glyphs import similarity
from tests.support.media.pdf_files import Page, pdf
from tests.support.tools import missing

# A Chinese, a Japanese and a Korean character, with the collection of a PDF that has it.
CHARACTERS = {"国": ("GB1", "UniGB"), "な": ("Japan1", "UniJIS"), "글": ("Korea1", "UniKS")}


@pytest.fixture(scope="module")
async def images(fork_server: ForkServer) -> AsyncIterator[ImageRenderer]:
    if not CJK_FONTS.exists():
        missing("fonts-wqy-microhei")
    async with ImageRenderer(fork_server, 1, 1_000_000, 1 << 28) as images:
        yield images


@pytest.fixture(scope="module")
async def documents(fork_server: ForkServer) -> AsyncIterator[DocumentRenderer]:
    if not CJK_FONTS.exists():
        missing("fonts-wqy-microhei")
    async with DocumentRenderer(fork_server, 1, None) as documents:
        yield documents


def not_embedded(character: str) -> bytes:
    """A PDF with one character of a font that is not in it."""
    ordering, encoding = CHARACTERS[character]
    font = (
        f"<</Type/Font/Subtype/Type0/BaseFont/None/Encoding/{encoding}-UCS2-H/DescendantFonts[<<"
        "/Type/Font/Subtype/CIDFontType2/BaseFont/None/DW 1000/CIDSystemInfo"
        f"<</Registry(Adobe)/Ordering({ordering})/Supplement 2>>/FontDescriptor"
        "<</Type/FontDescriptor/FontName/None/Flags 4/FontBBox[0 -200 1000 900]/ItalicAngle 0"
        "/Ascent 800/Descent -200/StemV 80>>>>]>>"
    )
    code = character.encode("utf-16-be").hex()
    page = Page(
        f"BT /C 99 Tf 40 100 Td <{code}> Tj ET".encode(), more="/Resources<</Font<</C 100 0 R>>>>"
    )
    return pdf(page, objects={100: font.encode()})


@pytest.mark.parametrize("character", CHARACTERS)
async def test_drawn_text(images: ImageRenderer, tmp_path: Path, character: str) -> None:
    Image.new("RGB", (200, 200), "white").save(path := tmp_path / "white.png")
    pipeline = parsed_pipeline(f"text:{character}:size=0.5:color=000:gravity=CENTER,convert:PNG")
    async with images.render(ImageSource(path, "image/png", 200, 200), pipeline) as made:
        assert similarity(Image.open(made.path), character) > 0.8


async def test_text_of_a_drawing(images: ImageRenderer, tmp_path: Path) -> None:
    (path := tmp_path / "a.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="200" height="200">'
        '<rect width="200" height="200" fill="#fff"/>'
        '<text x="40" y="150" font-size="100" font-family="Arial">国</text></svg>'
    )
    source = ImageSource(path, "image/svg+xml", 200, 200)
    async with images.render(source, parsed_pipeline("convert:PNG")) as made:
        assert similarity(Image.open(made.path), "国") > 0.8


@pytest.mark.parametrize("character", CHARACTERS)
async def test_text_of_a_pdf(documents: DocumentRenderer, tmp_path: Path, character: str) -> None:
    (path := tmp_path / "a.pdf").write_bytes(not_embedded(character))
    steps = find_route(stored_pipeline("page:1:size=1200"), "DOCUMENT").steps
    async with documents.render(path, PDF, steps, lambda _: None) as [result]:
        assert similarity(Image.open(result.path), character) > 0.8
