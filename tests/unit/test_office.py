"""Detection of office documents by their first bytes."""

import io
import zipfile

import pytest

from media_service.codecs.detection import detect

OOXML = "application/vnd.openxmlformats-officedocument."
ODF = "application/vnd.oasis.opendocument."
WORD, EXCEL = OOXML + "wordprocessingml.document", OOXML + "spreadsheetml.sheet"
POWERPOINT = OOXML + "presentationml.presentation"


def archive(*parts: str, fill: bytes = b"", mimetype: str = "") -> bytes:
    """A ZIP file of entries with these names. `fill` is their content."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as file:
        if mimetype:
            file.writestr("mimetype", mimetype)
        for name in parts:
            file.writestr(name, fill)
    return out.getvalue()


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        (["[Content_Types].xml", "_rels/.rels", "word/document.xml"], WORD),
        (["_rels/.rels", "docProps/app.xml", "word/document.xml", "[Content_Types].xml"], WORD),
        (["docProps/app.xml", "xl/workbook.xml", "_rels/.rels"], EXCEL),
        (["word/document.xml", "_rels/.rels"], WORD),
        (["[Content_Types].xml", "docProps/thumbnail.jpeg", "ppt/presentation.xml"], POWERPOINT),
    ],
)
@pytest.mark.parametrize("fill", [b"", b"x" * 20_000])
def test_office_documents_are_detected(parts: list[str], found: str, fill: bytes) -> None:
    """In any order of their entries, and with large first entries."""
    assert detect(archive(*parts, fill=fill)) == found


@pytest.mark.parametrize("name", ["text", "spreadsheet", "presentation"])
def test_open_documents_are_detected(name: str) -> None:
    assert detect(archive("content.xml", mimetype=ODF + name)) == ODF + name


def test_an_embedded_document_does_not_determine_the_type() -> None:
    inner = archive("[Content_Types].xml", "xl/workbook.xml")
    parts = ["[Content_Types].xml", "word/embeddings/a.xlsx", "word/document.xml"]
    assert detect(archive(*parts, fill=inner)) == WORD


@pytest.mark.parametrize(
    "data",
    [
        archive("a.txt"),
        archive("word/document.xml"),
        archive("[Content_Types].xml", "word/document.xml", "word/vbaProject.bin"),
        archive("content.xml", mimetype=ODF + "chart"),
        archive("content.xml", mimetype=ODF + "text-template"),
        b"PK\x03\x04",
    ],
)
def test_other_archives_and_documents_with_macros_are_plain_archives(data: bytes) -> None:
    assert detect(data) == "application/zip"


def test_rich_text_is_detected() -> None:
    assert detect(rb"{\rtf1\ansi Hello}") == "application/rtf"
