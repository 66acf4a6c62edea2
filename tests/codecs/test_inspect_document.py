"""Inspection of documents."""

import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from media_service.codecs.inspect.user_unit import (
    ALL_BYTES,
    MAX_STREAMS,
    PART_BYTES,
    READ_BYTES,
    STREAM_BYTES,
    object_streams,
)
from media_service.codecs.inspection import DocumentInfo, Inspection, PrivateInfo
from media_service.codecs.inspector import Inspector
from media_service.errors import MediaError, Reason
from tests.support.media.format_files import pdf

OOXML = "application/vnd.openxmlformats-officedocument."
ODF = "application/vnd.oasis.opendocument."
NOTHING = bytes(32).replace(b"\0", b"\\000")
# From a document that opens only with a password.
LOCK = b"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O(" + NOTHING + b")/U(" + NOTHING + b")>>/ID[()()]"


async def refusal(inspector: Inspector, path: Path, content_type: str) -> str:
    with pytest.raises(MediaError) as error:
        await inspector.inspect(path, "DOCUMENT", content_type)
    assert error.value.reason is Reason.MEDIA_CORRUPT
    return error.value.message


async def test_a_pdf_has_page_count_size_title_and_author(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = pdf(tmp_path / "a.pdf", pages=3, info=b"/Title(A tale)/Author<FEFF004A00F6>")
    found = await inspector.inspect(path, "DOCUMENT", "application/pdf")
    assert found.private_info == PrivateInfo()
    assert found.info == DocumentInfo(
        page_count=3, page_width=200.0, page_height=100.0, title="A tale", author="Jö"
    )


async def test_the_valid_part_of_an_invalid_title_is_kept(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = pdf(tmp_path / "a.pdf", info=b"/Title<FEFF0041D8000042>/Author(" + b"x" * 5000 + b")")
    info = (await inspector.inspect(path, "DOCUMENT", "application/pdf")).info
    assert info.title.startswith("A")
    assert info.author == "x" * 1000


async def test_an_encrypted_document_is_accepted_without_metadata(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = pdf(tmp_path / "a.pdf", info=b"/Title(Secret)", trailer=LOCK)
    found = await inspector.inspect(path, "DOCUMENT", "application/pdf")
    assert found == Inspection(info=DocumentInfo(), content_type="application/pdf")


async def test_a_document_with_a_broken_xref_table_is_repaired(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = pdf(tmp_path / "a.pdf", pages=2)
    path.write_bytes(path.read_bytes().replace(b"startxref\n", b"startxref\n9"))
    info = (await inspector.inspect(path, "DOCUMENT", "application/pdf")).info
    assert info.page_count == 2


async def test_a_truncated_pdf_is_refused(inspector: Inspector, tmp_path: Path) -> None:
    path = pdf(tmp_path / "a.pdf", pages=100)
    path.write_bytes(path.read_bytes()[:-100])
    assert "truncated" in await refusal(inspector, path, "application/pdf")


@pytest.mark.parametrize("missing", [1, 6, 7, 12])
async def test_a_pdf_may_lack_its_last_line(
    inspector: Inspector, tmp_path: Path, missing: int
) -> None:
    path = pdf(tmp_path / "a.pdf", pages=2)
    path.write_bytes(path.read_bytes().rstrip()[:-missing])
    info = (await inspector.inspect(path, "DOCUMENT", "application/pdf")).info
    assert info == DocumentInfo(
        page_count=2, page_width=200.0, page_height=100.0, warnings=("END_MISSING",)
    )


@pytest.mark.parametrize("tail", [bytes(3000), b"<html>" * 20_000])
async def test_a_pdf_may_have_bytes_behind_its_end(
    inspector: Inspector, tmp_path: Path, tail: bytes
) -> None:
    path = pdf(tmp_path / "a.pdf", pages=2)
    path.write_bytes(path.read_bytes() + tail)
    info = (await inspector.inspect(path, "DOCUMENT", "application/pdf")).info
    assert (info.page_count, info.warnings) == (2, ("TRAILING_BYTES",))


async def test_a_pdf_whose_page_is_missing_is_truncated(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = pdf(tmp_path / "a.pdf", pages=3)
    data = path.read_bytes()
    trailer = data[data.index(b"trailer") : data.index(b"startxref")]
    path.write_bytes(data[:9] + trailer + data[9 : data.index(b"6 0 obj")])
    assert "truncated" in await refusal(inspector, path, "application/pdf")


async def test_a_pdf_shorter_than_it_says_is_truncated(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = pdf(tmp_path / "a.pdf")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"<</Type/Catalog", b"<</Linearized 1/L 5000/Type/Catalog"))
    assert "truncated" in await refusal(inspector, path, "application/pdf")


async def test_the_size_of_a_page_is_in_points_whatever_its_unit(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = pdf(tmp_path / "a.pdf", pages=2)
    plain = path.read_bytes().replace(b"100]", b"100]/UserUnit 2.5", 1)
    for data in (plain, with_object_stream(b"/UserUnit 2.5")):
        path.write_bytes(data)
        info = (await inspector.inspect(path, "DOCUMENT", "application/pdf")).info
        assert isinstance(info, DocumentInfo)
        assert (info.page_width, info.page_height) == (500.0, 250.0)


def with_object_stream(entries: bytes) -> bytes:
    """A PDF whose page, with further `entries`, is in a compressed stream of objects."""
    objects = {
        1: b"<</Type/Catalog/Pages 2 0 R>>",
        2: b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]%s>>" % entries,
    }
    head = body = b""
    for number, text in objects.items():
        head += b"%d %d " % (number, len(body))
        body += text + b" "
    packed = zlib.compress(head + body)
    data = b"%PDF-1.7\n"
    places = [(0, 0, 0), *((2, 4, index) for index in range(3)), (1, len(data), 0)]
    data += b"4 0 obj\n<</Type/ObjStm/N 3/First %d/Length %d" % (len(head), len(packed))
    data += b"/Filter/FlateDecode>>\nstream\n" + packed + b"\nendstream\nendobj\n"
    places.append((1, len(data), 0))
    table = b"".join(struct.pack(">BHH", *place) for place in places)
    start = len(data)
    data += b"5 0 obj\n<</Type/XRef/Size 6/W[1 2 2]/Root 1 0 R/Length %d>>\nstream\n" % len(table)
    return data + table + b"\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n" % start


class Counted(bytes):
    """Bytes that count those that are copied."""

    copied = 0

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        self.copied += len(found) if isinstance(found, bytes) else 1
        return found


def test_the_search_for_a_unit_copies_little_of_what_follows_a_stream() -> None:
    data = Counted((b"/ObjStm>>stream\n" + zlib.compress(b"/UserUnit 2")) * 3 + bytes(8 << 20))
    assert list(object_streams(data)) == [b"/UserUnit 2"] * 3
    assert data.copied <= 3 * PART_BYTES


def test_the_search_for_a_unit_reads_few_streams() -> None:
    data = Counted((b"/ObjStm>>stream\n" + zlib.compress(b"-")) * 2 * MAX_STREAMS)
    assert sum(1 for _ in object_streams(data)) == MAX_STREAMS
    data = Counted(b"/ObjStm>>stream\n-" * 2 * MAX_STREAMS)  # not compressed
    assert not any(object_streams(data))
    assert data.copied <= READ_BYTES + PART_BYTES


def test_the_search_for_a_unit_reads_and_writes_few_bytes() -> None:
    zeros = zlib.compress(bytes(STREAM_BYTES))
    found = list(object_streams((b"/ObjStm>>stream\n" + zeros) * 20))
    assert len(found) == ALL_BYTES // STREAM_BYTES + 1
    # Blocks of no bytes only cost reading.
    blocks = b"\x78\x9c" + b"\0\0\0\xff\xff" * (STREAM_BYTES // 5)
    found = list(object_streams((b"/ObjStm>>stream\n" + blocks) * 7))
    assert len(found) == READ_BYTES // STREAM_BYTES + 1


def test_the_search_for_a_unit_looks_at_few_dictionaries() -> None:
    data = b"/ObjStm " * MAX_STREAMS + bytes(2000) + b"/ObjStm>>stream\n-"
    assert list(object_streams(data)) == []


async def test_a_pdf_without_pages_is_refused(inspector: Inspector, tmp_path: Path) -> None:
    path = pdf(tmp_path / "a.pdf", pages=0)
    assert "cannot be read" in await refusal(inspector, path, "application/pdf")


async def test_a_pdf_without_objects_is_refused(inspector: Inspector, tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(b"%PDF-1.7\n" + bytes(5000) + b"\n%%EOF\n")
    assert "cannot be read" in await refusal(inspector, path, "application/pdf")


async def test_a_pdf_with_a_cyclic_page_tree_is_refused(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = pdf(tmp_path / "a.pdf")
    data = path.read_bytes().replace(b"/Count 1/Kids[4 0 R]", b"/Count 9/Kids[2 0 R]")
    path.write_bytes(data)
    assert "no readable page" in await refusal(inspector, path, "application/pdf")
    await inspector.inspect(pdf(tmp_path / "b.pdf"), "DOCUMENT", "application/pdf")


OFFICE = {
    OOXML + "wordprocessingml.document": "word/document.xml",
    OOXML + "spreadsheetml.sheet": "xl/workbook.xml",
    OOXML + "presentationml.presentation": "ppt/presentation.xml",
    ODF + "text": "content.xml",
    ODF + "spreadsheet": "content.xml",
    ODF + "presentation": "content.xml",
}


@pytest.mark.parametrize(("content_type", "part"), OFFICE.items())
async def test_an_office_document_must_be_a_whole_zip_file_with_its_main_part(
    inspector: Inspector, tmp_path: Path, content_type: str, part: str
) -> None:
    path = tmp_path / "document"
    with zipfile.ZipFile(path, "w") as parts:
        parts.writestr(part, "<x/>")
    found = await inspector.inspect(path, "DOCUMENT", content_type)
    assert found == Inspection(info=DocumentInfo(), content_type=content_type)
    path.write_bytes(path.read_bytes()[:-30])
    assert "truncated" in await refusal(inspector, path, content_type)
    with zipfile.ZipFile(path, "w") as parts:
        parts.writestr("else", "<x/>")
    assert "no content" in await refusal(inspector, path, content_type)


async def test_a_rich_text_document_must_be_complete(inspector: Inspector, tmp_path: Path) -> None:
    path = tmp_path / "a.rtf"
    path.write_bytes(rb"{\rtf1 {\b Hello}}" + b"\r\n\0")
    assert (await inspector.inspect(path, "DOCUMENT", "application/rtf")).info == DocumentInfo()
    path.write_bytes(rb"{\rtf1 {\b Hello\}}}" + b"bytes behind it")
    info = (await inspector.inspect(path, "DOCUMENT", "application/rtf")).info
    assert info == DocumentInfo(warnings=("TRAILING_BYTES",))
    path.write_bytes(rb"{\rtf1 {\b Hello} and")
    assert "truncated" in await refusal(inspector, path, "application/rtf")


async def test_a_document_of_an_unknown_type_is_not_inspected(
    inspector: Inspector, tmp_path: Path
) -> None:
    """Such documents are accepted only if the settings name their type."""
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK")
    assert (await inspector.inspect(path, "DOCUMENT", "application/zip")).info == DocumentInfo()
