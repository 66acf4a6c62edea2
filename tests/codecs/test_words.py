"""The text of documents that searches read."""

from pathlib import Path

import pytest

from media_service.codecs.inspect.office import ODF, OOXML
from media_service.codecs.inspector import Inspector
from tests.support.media.office_files import docx, odp, odt
from tests.support.media.private_files import private_pdf

PDF, RTF = "application/pdf", "application/rtf"


@pytest.mark.parametrize(
    ("data", "content_type", "words"),
    [
        (docx("Tom &amp; Jerry"), OOXML + "wordprocessingml.document", "Tom & Jerry"),
        (odt("one</text:p><text:p>t<text:span>w</text:span>o"), ODF + "text", "one two"),
        (odp("a slide"), ODF + "presentation", "a slide"),
        (private_pdf(), PDF, "Hello"),
        (b"%PDF-1.4 damaged", PDF, ""),
        (docx("x")[:-30], OOXML + "wordprocessingml.document", ""),
        (b"{\\rtf1 hello\\par you}", RTF, "hello you"),
        (b"{\\rtf1{\\fonttbl{\\f0 Arial;}}{\\*\\generator X;}\\b a{\\i b}c", RTF, "abc"),
        (
            b"{\\rtf1\\ansicpg1251 \\'ef\\'f0\\'e8\r\n\\'e2\\u233?t\\u-10179?\\u-8694?",
            RTF,
            "привét😊",
        ),
        (b"{\\rtf1{\\pict\\bin3 }{\\00}x\\~\\{y\\}\\emdash", RTF, "x {y}—"),
        (b"{\\rtf1\\uc2\\u8364\\'e2\\'82 5{\\uc0\\u8364}z\\", RTF, "€ 5€z"),
        (b"", RTF, ""),
    ],
)
async def test_the_text_of_a_document_is_read(
    inspector: Inspector, tmp_path: Path, data: bytes, content_type: str, words: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    assert (await inspector.words_of(path, content_type, 100)).strip("\f ") == words
    assert len(await inspector.words_of(path, content_type, 3)) <= 3
