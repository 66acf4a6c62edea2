"""The text of documents that searches read."""

from pathlib import Path

import pytest

from media_service.codecs.inspect.office import ODF, OOXML
from media_service.codecs.inspector import Inspector
from tests.support.media.office_files import docx, odp, odt
from tests.support.media.private_files import private_pdf

PDF = "application/pdf"


@pytest.mark.parametrize(
    ("data", "content_type", "words"),
    [
        (docx("Tom &amp; Jerry"), OOXML + "wordprocessingml.document", "Tom & Jerry"),
        (odt("one</text:p><text:p>t<text:span>w</text:span>o"), ODF + "text", "one two"),
        (odp("a slide"), ODF + "presentation", "a slide"),
        (private_pdf(), PDF, "Hello"),
        (b"%PDF-1.4 damaged", PDF, ""),
        (docx("x")[:-30], OOXML + "wordprocessingml.document", ""),
        (b"{\\rtf1 hello}", "application/rtf", ""),
    ],
)
async def test_the_text_of_a_document_is_read(
    inspector: Inspector, tmp_path: Path, data: bytes, content_type: str, words: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    assert (await inspector.words_of(path, content_type, 100)).strip("\f ") == words
    assert len(await inspector.words_of(path, content_type, 3)) <= 3
