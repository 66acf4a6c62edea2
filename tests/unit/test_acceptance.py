"""Which files are accepted, and the reasons for which others are refused."""

import struct
import zlib

import pytest

from media_service.errors import (
    FailedPrecondition,
    InvalidArgument,
    MediaError,
    Reason,
)
from media_service.media.allowed_types import AllowedTypes
from media_service.media.model import Kind
from media_service.storage.checksums import Checksums
from media_service.uploads.acceptance import (
    Acceptance,
    check_checksums,
    check_complete,
    check_filename,
    check_not_empty,
    merge,
)
from media_service.uploads.model import UploadSpec

ACCEPTANCE = Acceptance(
    max_size=1000, max_pixels=100 * 100, types=AllowedTypes(("image/*", "video/mp4"))
)
ZEROS = bytes(32)


def png(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + header + struct.pack(">I", zlib.crc32(header))


def reason(error: type[MediaError], check: object, *arguments: object) -> Reason:
    with pytest.raises(error) as caught:
        check(*arguments)  # type: ignore[operator]
    return caught.value.reason


def test_a_size_up_to_the_limit_is_accepted() -> None:
    ACCEPTANCE.check_size(1000)
    assert reason(InvalidArgument, ACCEPTANCE.check_size, 1001) is Reason.FILE_TOO_LARGE


@pytest.mark.parametrize("content_type", ["", "image/png", "IMAGE/PNG; q=1", "video/x-m4v"])
def test_a_valid_upload_spec_is_accepted(content_type: str) -> None:
    ACCEPTANCE.check_spec(UploadSpec(filename="a.png", content_type=content_type, size_bytes=1000))


@pytest.mark.parametrize(
    ("spec", "error", "expected"),
    [
        (UploadSpec(filename="a/b"), InvalidArgument, Reason.INVALID_FIELD),
        (UploadSpec(size_bytes=1001), InvalidArgument, Reason.FILE_TOO_LARGE),
        (UploadSpec(content_type="video/webm"), InvalidArgument, Reason.TYPE_NOT_ALLOWED),
        (UploadSpec(content_type="text/html"), InvalidArgument, Reason.TYPE_NOT_ALLOWED),
    ],
)
def test_an_unacceptable_upload_spec_is_refused_up_front(
    spec: UploadSpec, error: type[MediaError], expected: Reason
) -> None:
    assert reason(error, ACCEPTANCE.check_spec, spec) is expected


@pytest.mark.parametrize("declared", ["", "image/png", "image/x-png", "Image/PNG; x=y"])
def test_content_of_the_declared_type_is_accepted(declared: str) -> None:
    assert ACCEPTANCE.check_content(png(100, 100), declared) == ("image/png", Kind.IMAGE)


@pytest.mark.parametrize(
    ("head", "declared", "error", "expected"),
    [
        (png(1, 1), "video/mp4", InvalidArgument, Reason.TYPE_MISMATCH),
        (png(1, 1), "application/pdf", InvalidArgument, Reason.TYPE_MISMATCH),
        (b"<html>", "image/png", InvalidArgument, Reason.TYPE_MISMATCH),
        (b"<html>", "", InvalidArgument, Reason.TYPE_NOT_ALLOWED),
        (b"%PDF-1.7", "", InvalidArgument, Reason.TYPE_NOT_ALLOWED),
        (png(101, 100), "", InvalidArgument, Reason.PIXEL_LIMIT_EXCEEDED),
        (png(65536, 65536), "", InvalidArgument, Reason.PIXEL_LIMIT_EXCEEDED),
    ],
)
def test_unacceptable_content_is_refused(
    head: bytes, declared: str, error: type[MediaError], expected: Reason
) -> None:
    assert reason(error, ACCEPTANCE.check_content, head, declared) is expected


@pytest.mark.parametrize(
    "name", ["", "a b.jpg", "größe.jpg", "🙂", "a" * 255, "..", 'a"b;c=d%.jpg']
)
def test_a_plain_filename_is_accepted(name: str) -> None:
    check_filename(name)


@pytest.mark.parametrize(
    "name",
    ["a/b", "../a", "a\\b", "a\0", "a\nb", "\x1b[2J", "\x7f", "a" * 256, "é" * 128, "a" * 10_000],
)
def test_a_dangerous_filename_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_filename(name)
    assert caught.value.reason is Reason.INVALID_FIELD
    assert caught.value.fields[0][0] == "filename"


def test_an_upload_must_reach_its_declared_size() -> None:
    check_complete(UploadSpec(), 5)
    check_complete(UploadSpec(size_bytes=5), 5)
    found = reason(FailedPrecondition, check_complete, UploadSpec(size_bytes=6), 5)
    assert found is Reason.UPLOAD_INCOMPLETE


def test_an_empty_file_is_refused() -> None:
    check_not_empty(1)
    assert reason(InvalidArgument, check_not_empty, 0) is Reason.FILE_EMPTY


@pytest.mark.parametrize(
    ("declared", "actual"),
    [
        (Checksums(), Checksums(1, ZEROS)),
        (Checksums(1, ZEROS), Checksums()),
        (Checksums(1, ZEROS), Checksums(1, ZEROS)),
        (Checksums(0), Checksums(0)),
    ],
)
def test_matching_checksums_are_accepted(declared: Checksums, actual: Checksums) -> None:
    check_checksums(declared, actual)


@pytest.mark.parametrize(
    ("declared", "actual", "name"),
    [
        (Checksums(1), Checksums(2), "crc32c"),
        (Checksums(0), Checksums(1), "crc32c"),
        (Checksums(None, ZEROS), Checksums(None, b"\1" * 32), "sha256"),
        (Checksums(1, ZEROS), Checksums(1, b"\1" * 32), "sha256"),
    ],
)
def test_mismatched_checksums_are_refused(
    declared: Checksums, actual: Checksums, name: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_checksums(declared, actual)
    assert caught.value.reason is Reason.CHECKSUM_MISMATCH
    assert caught.value.metadata["checksum"] == name


def test_checksums_declared_twice_must_agree() -> None:
    assert merge(Checksums(1), Checksums(None, ZEROS)) == Checksums(1, ZEROS)
    assert merge(Checksums(0), Checksums()) == merge(Checksums(), Checksums(0)) == Checksums(0)
    assert reason(InvalidArgument, merge, Checksums(1), Checksums(2)) is Reason.CHECKSUM_MISMATCH
