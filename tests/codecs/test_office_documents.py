"""Office documents: rendering with LibreOffice in a real child process, and refusal without it."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from media_service.codecs.document.office import SUFFIXES, installed
from media_service.codecs.document_renderer import DocumentRenderer
from media_service.codecs.pipeline.pipeline import stored_pipeline
from media_service.codecs.pipeline.route import find_route
from media_service.codecs.sandbox.forks import ForkServer
from media_service.errors import FailedPrecondition, MediaError, Reason, Unimplemented
from tests.support.media.glyphs import similarity
from tests.support.media.office_files import MAKERS, OPEN, odt, opendocument
from tests.support.tools import missing

ODT = OPEN + "text"
WORDS = "Grüße aus dem Büro"


@pytest.fixture(scope="module")
async def documents(fork_server: ForkServer) -> AsyncIterator[DocumentRenderer]:
    if not (programs := installed()):
        missing("LibreOffice")
    async with DocumentRenderer(fork_server, 2, programs) as documents:
        yield documents


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "document"


async def made(
    documents: DocumentRenderer, path: Path, content_type: str, data: bytes, ops: str
) -> bytes:
    path.write_bytes(data)
    steps = find_route(stored_pipeline(ops), "DOCUMENT").steps
    async with documents.render(path, content_type, steps, lambda _: None) as [result]:
        return result.path.read_bytes()


async def rendered_page(
    documents: DocumentRenderer, path: Path, data: bytes, size: int = 400
) -> Image.Image:
    steps = find_route(stored_pipeline(f"page:1:size={size}"), "DOCUMENT").steps
    path.write_bytes(data)
    async with documents.render(path, ODT, steps, lambda _: None) as [result]:
        with Image.open(result.path) as image:
            return image.convert("RGB")


def test_the_tests_cover_every_office_format() -> None:
    assert set(MAKERS) == set(SUFFIXES) - {"text/rtf"}


# A conversion takes almost two seconds of processor time. A short run leaves out the formats whose
# application and import library also read another format.
RARE = {"rtf", "ods", "odp"}
FORMATS = [
    pytest.param(kind, id=SUFFIXES[kind], marks=[pytest.mark.soak] * (SUFFIXES[kind] in RARE))
    for kind in MAKERS
]


@pytest.mark.parametrize("content_type", FORMATS)
async def test_the_text_of_an_office_document_is_extracted(
    documents: DocumentRenderer, path: Path, content_type: str
) -> None:
    data = MAKERS[content_type](WORDS)
    text = await made(documents, path, content_type, data, "extract_text:1")
    assert WORDS in text.decode()


async def test_a_page_of_an_office_document_is_rendered(
    documents: DocumentRenderer, path: Path
) -> None:
    image = await rendered_page(documents, path, odt("国"), 1200)
    assert max(image.size) == 1200
    assert image.getpixel((0, 0)) == (255, 255, 255)
    assert similarity(image, "国") > 0.6, "no box, and in any font of the machine"


async def test_an_office_document_cannot_include_other_files(
    documents: DocumentRenderer, path: Path
) -> None:
    other = path.parent / "other.png"
    Image.new("RGB", (64, 64), "red").save(other)
    place = 'text:anchor-type="as-char" svg:width="5cm" svg:height="5cm"'
    link = f'<draw:image xlink:href="{other.as_uri()}" xlink:type="simple" xlink:actuate="onLoad"/>'
    data = opendocument("text", f"<text:p><draw:frame {place}>{link}</draw:frame></text:p>")
    image = await rendered_page(documents, path, data)
    red, green = (np.asarray(image)[..., band].astype(int) for band in (0, 1))
    assert (red - green).max() < 100


async def test_a_file_that_is_not_a_document_is_corrupt(
    documents: DocumentRenderer, path: Path
) -> None:
    with pytest.raises(MediaError) as error:
        await made(documents, path, ODT, odt(WORDS)[:200], "page")
    assert error.value.reason is Reason.MEDIA_CORRUPT


async def test_without_libreoffice_the_error_says_what_to_install(
    fork_server: ForkServer, path: Path
) -> None:
    async with DocumentRenderer(fork_server, 1, None) as documents:
        with pytest.raises(Unimplemented) as missing:
            await made(documents, path, ODT, odt(WORDS), "page")
        assert missing.value.reason is Reason.MISSING_TOOL
        assert "Install libreoffice-writer" in missing.value.message
        with pytest.raises(FailedPrecondition) as error:
            await made(documents, path, "application/zip", odt(WORDS), "page")
        assert error.value.reason is Reason.OPERATION_NOT_APPLICABLE
