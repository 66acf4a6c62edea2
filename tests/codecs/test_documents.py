"""Pages and text of documents, rendered in real child processes."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pypdfium2
import pytest
import pyvips
from PIL import Image

from media_service.codecs.document.page import check_blank, is_blank
from media_service.codecs.document_renderer import DocumentRenderer
from media_service.codecs.limits import PAGE_LIMITS
from media_service.codecs.pipeline.pipeline import stored_pipeline
from media_service.codecs.pipeline.route import find_route
from media_service.codecs.sandbox.forks import ForkServer
from media_service.errors import MediaError, Reason
from tests.support.media.pdf_files import (
    BLUE,
    GREEN,
    RED,
    Page,
    assembled,
    bomb,
    locked,
    pdf,
    square,
    stream,
    text,
)

PDF = "application/pdf"
# Low, so that a test that exhausts them takes seconds.
TIGHT = replace(PAGE_LIMITS, memory_bytes=640 << 20, cpu_seconds=3, wall_seconds=30)


@pytest.fixture(scope="module")
async def documents(fork_server: ForkServer) -> AsyncIterator[DocumentRenderer]:
    async with DocumentRenderer(fork_server, 2, None, limits=TIGHT) as documents:
        yield documents


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "document"


async def rendered_page(
    documents: DocumentRenderer, path: Path, data: bytes, ops: str
) -> Image.Image:
    """The rendered page as an image."""
    path.write_bytes(data)
    steps = find_route(stored_pipeline(ops), "DOCUMENT").steps
    async with documents.render(path, PDF, steps, lambda _: None) as [made]:
        with Image.open(made.path) as image:
            assert (made.content_type, image.format) == ("image/png", "PNG")
            assert (made.width, made.height) == image.size
            return image.convert("RGB")


async def words(
    documents: DocumentRenderer,
    path: Path,
    data: bytes,
    ops: str = "extract_text",
    reported: list[float] | None = None,
) -> str:
    path.write_bytes(data)
    steps = find_route(stored_pipeline(ops), "DOCUMENT").steps
    heard = reported.append if reported is not None else lambda _: None
    async with documents.render(path, PDF, steps, heard) as [made]:
        assert (made.content_type, made.width) == ("text/plain; charset=utf-8", 0)
        return made.path.read_text()


async def refusal(documents: DocumentRenderer, path: Path, data: bytes, ops: str) -> MediaError:
    """The error of a render that is refused."""
    path.write_bytes(data)
    steps = find_route(stored_pipeline(ops), "DOCUMENT").steps
    with pytest.raises(MediaError) as error:
        async with documents.render(path, PDF, steps, lambda _: None):
            pass
    return error.value


# Pages


async def test_a_page_is_rendered_on_white(documents: DocumentRenderer, path: Path) -> None:
    data = pdf(Page(square(RED, 0, 0)), Page(square(BLUE, 160, 260)))
    first = await rendered_page(documents, path, data, "page:1:size=300")
    assert first.size == (200, 300)
    assert first.getpixel((20, 280)) == (255, 0, 0), "its origin is at the bottom"
    assert first.getpixel((100, 100)) == (255, 255, 255)
    second = await rendered_page(documents, path, data, "page:2:size=300")
    assert second.getpixel((180, 20)) == (0, 0, 255)
    assert second.getpixel((20, 280)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("box", "ops", "size"),
    [
        ("[0 0 200 300]", "page", (1067, 1600)),
        ("[0 0 300 200]", "page:size=333", (333, 222)),
        ("[0 0 595.276 841.89]", "page:size=8192", (5793, 8192)),
        ("[-100 -100 100 200]", "page:size=16", (11, 16)),
    ],
)
async def test_the_longer_side_has_the_requested_size(
    documents: DocumentRenderer, path: Path, box: str, ops: str, size: tuple[int, int]
) -> None:
    assert (await rendered_page(documents, path, pdf(Page(box=box)), ops)).size == size


async def test_a_page_that_needs_more_memory_than_allowed_exceeds_a_limit(
    fork_server: ForkServer, path: Path
) -> None:
    """Wherever the memory ends: in PDFium, in libvips, or at the start of one of its threads."""
    data, ended = pdf(Page(box="[0 0 595.276 841.89]")), []
    for megabytes in (*range(195, 245, 5), 2048):
        limits = replace(TIGHT, memory_bytes=megabytes << 20)
        async with DocumentRenderer(fork_server, 1, None, limits=limits) as documents:
            try:
                await rendered_page(documents, path, data, "page:size=8192")
                ended.append("rendered")
            except MediaError as error:
                ended.append(error.reason)
    assert set(ended) == {"rendered", Reason.PROCESSING_LIMIT_EXCEEDED}, ended


@pytest.mark.parametrize(
    ("angle", "size", "place"),
    [
        (90, (300, 200), (20, 20)),
        (180, (200, 300), (180, 20)),
        (270, (300, 200), (280, 180)),
    ],
)
async def test_a_rotated_page_is_upright(
    documents: DocumentRenderer,
    path: Path,
    angle: int,
    size: tuple[int, int],
    place: tuple[int, int],
) -> None:
    data = pdf(Page(square(RED, 0, 0), more=f"/Rotate {angle}"))
    image = await rendered_page(documents, path, data, "page:1:size=300")
    assert image.size == size
    assert image.getpixel(place) == (255, 0, 0)


async def test_content_outside_the_crop_box_is_not_shown(
    documents: DocumentRenderer, path: Path
) -> None:
    content = square(RED, 0, 0) + square(GREEN, 100, 100, 50)
    data = pdf(Page(content, more="/CropBox[100 100 150 150]"))
    image = await rendered_page(documents, path, data, "page:1:size=50")
    assert image.getcolors() == [(2500, (0, 255, 0))]


async def test_forms_and_annotations_are_drawn(documents: DocumentRenderer, path: Path) -> None:
    def appearance(color: str) -> bytes:
        return stream(square(color, 0, 0), "/Type/XObject/Subtype/Form/BBox[0 0 40 40]")

    data = pdf(
        Page(more="/Annots[100 0 R 102 0 R]"),
        catalog="/AcroForm<</Fields[100 0 R]>>",
        objects={
            100: b"<</Type/Annot/Subtype/Widget/FT/Tx/T(name)/V(x)/F 4/Rect[0 0 40 40]"
            b"/AP<</N 101 0 R>>>>",
            101: appearance(RED),
            102: b"<</Type/Annot/Subtype/Square/F 4/Rect[160 260 200 300]/AP<</N 103 0 R>>>>",
            103: appearance(BLUE),
        },
    )
    image = await rendered_page(documents, path, data, "page:1:size=300")
    red, _, blue = image.crop((20, 280, 21, 281)).tobytes()
    assert red > blue, "a field is lit up where it can be filled in"
    assert image.getpixel((180, 20)) == (0, 0, 255)


async def test_a_document_written_by_another_library_is_rendered(
    documents: DocumentRenderer, path: Path
) -> None:
    with pypdfium2.PdfDocument.new() as made:
        for width in (100, 200):
            made.new_page(width, 100).close()
        made.save(path)
    data = path.read_bytes()
    assert (await rendered_page(documents, path, data, "page:2:size=200")).size == (200, 100)
    assert await words(documents, path, data) == "\f\f"


# Text


async def test_each_page_of_text_ends_with_a_form_feed(
    documents: DocumentRenderer, path: Path
) -> None:
    first = text("Grüße (aus) Köln") + text("eine Zeile weiter", y=200)
    data = pdf(Page(first), Page(), Page(text("the end")))
    whole = "Grüße (aus) Köln\neine Zeile weiter\f\fthe end\f"
    assert await words(documents, path, data) == whole
    assert await words(documents, path, data, "extract_text:3") == "the end\f"


async def test_text_extraction_reports_progress(documents: DocumentRenderer, path: Path) -> None:
    reported: list[float] = []
    pages = [Page(text(f"page {number}")) for number in range(1, 11)]
    found = await words(documents, path, pdf(*pages), reported=reported)
    assert found.split("\f")[9] == "page 10"
    assert reported == [number / 10 for number in range(1, 11)]


@pytest.mark.parametrize(
    ("letters", "drawn", "expected"),
    [
        ({"a": "ﬁ", "b": "ffl"}, "axb", "fixffl"),
        ({"a": "o\u0308", "b": "日本", "c": "🙂"}, "abc", "o\u0308日本🙂"),
        # Text from right to left is stored in display order, and extracted in reading order.
        ({"a": "ש", "b": "ל", "c": "ו", "d": "ם"}, "dcba", "שלום"),
        ({"a": "\f", "b": "\x00", "c": "\ud83d"}, "xaxbxcx", "xxxx"),
    ],
)
async def test_text_is_unicode(
    documents: DocumentRenderer, path: Path, letters: dict[str, str], drawn: str, expected: str
) -> None:
    assert await words(documents, path, pdf(Page(text(drawn)), letters=letters)) == f"{expected}\f"


async def test_a_hyphenated_word_is_joined(documents: DocumentRenderer, path: Path) -> None:
    lines = b"(an exam-) Tj 0 -14 Td (ple of it) Tj ET"
    upright = Page(b"BT /F 12 Tf 20 250 Td " + lines)
    on_its_side = Page(b"BT /F 12 Tf 0 1 -1 0 50 50 Tm " + lines, more="/Rotate 90")
    assert await words(documents, path, pdf(upright, on_its_side)) == "an example of it\f" * 2


# Refused documents


@pytest.mark.parametrize("ops", ["page:4", "extract_text:4"])
async def test_a_page_after_the_last_one_is_refused(
    documents: DocumentRenderer, path: Path, ops: str
) -> None:
    error = await refusal(documents, path, pdf(Page(), Page(), Page()), ops)
    assert error.reason is Reason.OPERATION_NOT_APPLICABLE
    assert error.message == "The document has no page 4; it has 3 pages."


async def test_a_document_with_a_password_is_refused(
    documents: DocumentRenderer, path: Path
) -> None:
    page = Page(text("secret"))
    for ops in ("page", "extract_text"):
        error = await refusal(documents, path, locked(page, b"opensesame"), ops)
        assert error.reason is Reason.DOCUMENT_ENCRYPTED
    assert await words(documents, path, locked(page)) == "secret\f", "no password is needed"


async def test_a_truncated_document_is_corrupt(documents: DocumentRenderer, path: Path) -> None:
    data = pdf(Page(text("whole")))
    for size in (0, 5, 200):
        error = await refusal(documents, path, data[:size], "page")
        assert error.reason is Reason.MEDIA_CORRUPT
    wrong_offset = data.replace(b"startxref\n", b"startxref\n1")
    assert await words(documents, path, wrong_offset) == "whole\f", "the text is recovered"


@pytest.mark.parametrize(
    "box",
    [
        *("[0 0 1000000 1000000]", "[0 0 4000000000 3]", "[0 0 1e30 1e39]", "[0 0 0.001 1000]"),
        *("[0 0 0 0]", "[0 0 nan inf]", "[]", "[0 0 -9 -9]"),
    ],
)
async def test_a_page_of_any_size_is_rendered_within_the_limits(
    documents: DocumentRenderer, path: Path, box: str
) -> None:
    image = await rendered_page(documents, path, pdf(Page(box=box)), "page:1:size=400")
    assert max(image.size) == 400
    assert min(image.size) >= 1


async def test_scripts_and_links_in_a_document_have_no_effect(
    documents: DocumentRenderer, path: Path
) -> None:
    data = pdf(
        Page(text("words"), more="/Annots[100 0 R]/AA<</O<</S/JavaScript/JS(app.alert\\(1\\))>>>>"),
        catalog="/OpenAction<</S/JavaScript/JS(while\\(true\\){})>>"
        "/Names<</EmbeddedFiles<</Names[(a.txt) 101 0 R]>>>>",
        objects={
            100: b"<</Type/Annot/Subtype/Link/Rect[0 0 9 9]/A<</S/URI/URI(http://127.0.0.1/)>>>>",
            101: b"<</Type/Filespec/F(a.txt)/EF<</F 102 0 R>>>>",
            102: stream(b"a file within", "/Type/EmbeddedFile"),
            103: b"<</S/Launch/F(/bin/sh)>>",
        },
    )
    assert await words(documents, path, data) == "words\f"
    assert (await rendered_page(documents, path, data, "page:1:size=300")).size == (200, 300)


def nested() -> bytes:
    """Deeply nested arrays."""
    return pdf(Page(more=f"/Annots {'[' * 500_000}{']' * 500_000}"))


def circular() -> bytes:
    """A form that draws itself."""
    form = stream(b"/X Do /X Do", "/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 100 0 R>>>>")
    page = "/Resources<</XObject<</X 100 0 R>>>>"
    return pdf(Page(b"/X Do", more=page), objects={100: form})


def pages(count: int) -> bytes:
    """One page, referenced many times."""
    return pdf(Page()).replace(b"[10 0 R]/Count 1", b"[%s]/Count %d" % (b"10 0 R " * count, count))


def endless() -> bytes:
    """Page tree nodes that are their own parents."""
    return assembled(
        {1: b"<</Type/Catalog/Pages 2 0 R>>", 2: b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 9>>"}
    )


LIMIT_EXCEEDED = Reason.PROCESSING_LIMIT_EXCEEDED


@pytest.mark.parametrize(
    ("document", "ops", "reason"),
    [
        (lambda: pdf(bomb(b"0 0 m 9 9 l S ", 2_000_000)), "page", LIMIT_EXCEEDED),
        (
            lambda: pdf(bomb(b"9 0 Td(much)Tj ", 2_000_000, b"BT /F 9 Tf ")),
            "extract_text",
            LIMIT_EXCEEDED,
        ),
        (lambda: pdf(bomb(b" ", 400 << 20)), "page", LIMIT_EXCEEDED),
        (circular, "page", LIMIT_EXCEEDED),
        (endless, "extract_text", Reason.MEDIA_CORRUPT),
        (lambda: pages(100_001), "extract_text", LIMIT_EXCEEDED),
    ],
    ids=["lines", "text", "space", "circular", "endless", "pages"],
)
async def test_a_hostile_document_is_refused(
    documents: DocumentRenderer,
    path: Path,
    document: Callable[[], bytes],
    ops: str,
    reason: Reason,
) -> None:
    error = await refusal(documents, path, document(), ops)
    assert error.reason is reason


async def test_the_size_of_extracted_text_is_limited(fork_server: ForkServer, path: Path) -> None:
    data = pdf(*[Page(text("a line of words"))] * 100)
    async with DocumentRenderer(
        fork_server, 1, None, limits=replace(TIGHT, file_bytes=1000)
    ) as documents:
        error = await refusal(documents, path, data, "extract_text")
        assert error.reason is Reason.PROCESSING_LIMIT_EXCEEDED
        assert await words(documents, path, data, "extract_text:100") == "a line of words\f"


async def test_a_malformed_document_may_have_readable_pages(
    documents: DocumentRenderer, path: Path
) -> None:
    for data in (nested(), pdf(Page()).replace(b"/Count 1", b"/Count 2000000000")):
        assert await words(documents, path, data) == "\f"


def test_a_page_that_is_blank_only_in_its_size_is_found() -> None:
    white = pyvips.Image.black(64, 64, bands=3) + 255
    assert is_blank(white)
    check_blank(white, 3, 9000)
    with pytest.raises(MediaError, match=r"Page 3 .* cannot be drawn") as error:
        check_blank(white.draw_rect([0, 0, 255], 10, 10, 5, 5), 3, 9000)
    assert error.value.reason is Reason.MEDIA_CORRUPT
