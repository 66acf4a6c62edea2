"""HTTP headers: parsing and writing."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta, timezone
from email.message import Message
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_service.downloads.disposition import content_disposition
from media_service.errors import InvalidArgument, Reason
from media_service.media.filenames import clean
from media_service.rpc.http import (
    boolean_header,
    digest_header,
    http_date,
    integer_header,
    is_head,
    repr_digest,
    request_headers,
)
from media_service.storage.checksums import Checksums

SHA256 = hashlib.sha256(b"data").digest()
SHA256_TEXT = base64.b64encode(SHA256).decode()


class Call:
    """The headers of a call as gRPC passes them to a servicer."""

    def __init__(self, *metadata: tuple[str, str | bytes]) -> None:
        self._metadata = metadata

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...] | None:
        return self._metadata or None


def test_the_first_value_of_a_repeated_header_is_used() -> None:
    call = Call(("range", "bytes=0-1"), ("range", "bytes=5-6"), ("trace-bin", b"\x00"))
    assert request_headers(call) == {"range": "bytes=0-1"}
    assert request_headers(Call()) == {}


def test_head_is_recognized_by_the_header_that_envoy_sets() -> None:
    assert is_head({"x-envoy-original-method": "HEAD"})
    assert not is_head({"x-envoy-original-method": "GET"})
    assert not is_head({})


def test_a_date_is_in_gmt() -> None:
    time = datetime(2026, 1, 2, 5, 4, 5, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert http_date(time) == http_date(time.astimezone(UTC)) == "Fri, 02 Jan 2026 03:04:05 GMT"


@pytest.mark.parametrize(("text", "value"), [("0", 0), (" 17 ", 17), ("9" * 18, int("9" * 18))])
def test_a_number_is_parsed(text: str, value: int) -> None:
    assert integer_header({"upload-offset": text}, "Upload-Offset") == value


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.5", "0x10", "1_000", "9" * 19, "one"])
def test_an_invalid_number_names_its_header(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        integer_header({"upload-offset": text}, "Upload-Offset")
    assert caught.value.reason is Reason.INVALID_HEADER
    assert caught.value.fields == (("Upload-Offset", "a whole number"),)


def test_a_missing_number_is_none() -> None:
    assert integer_header({}, "Upload-Offset") is None


@pytest.mark.parametrize(("text", "value"), [("?1", True), ("?0", False), (" ?1 ", True)])
def test_a_boolean_is_parsed(text: str, value: bool) -> None:
    assert boolean_header({"upload-complete": text}, "Upload-Complete") is value
    assert boolean_header({}, "Upload-Complete") is False


@pytest.mark.parametrize("text", ["", "1", "true", "?2", "??1"])
def test_an_invalid_boolean_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        boolean_header({"upload-complete": text}, "Upload-Complete")
    assert caught.value.reason is Reason.INVALID_HEADER


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"sha-256=:{SHA256_TEXT}:", Checksums(None, SHA256)),
        ("crc32c=:AAAAAA==:", Checksums(0, None)),
        (f"crc32c=:EjRWeA==:, sha-256=:{SHA256_TEXT}:", Checksums(0x12345678, SHA256)),
        (f"sha-512=:AAAA:,sha-256 = :{SHA256_TEXT}:", Checksums(None, SHA256)),
    ],
)
def test_a_digest_is_parsed(text: str, expected: Checksums) -> None:
    assert digest_header({"repr-digest": text}, "Repr-Digest") == expected
    assert digest_header({}, "Repr-Digest") == Checksums()


@pytest.mark.parametrize(
    "text",
    [
        "sha-256=:AAAA:",  # too short
        "crc32c=:AAAAAAAA:",  # too long
        "sha-256=:not base64!:",
        "sha-256=:é:",
        f"sha-256={SHA256_TEXT}",
        f"SHA-256=:{SHA256_TEXT}:",
        "md5=:AAAA:",  # unknown: ignoring it would imply a check
        "anything",
    ],
)
def test_an_invalid_digest_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        digest_header({"content-digest": text}, "Content-Digest")
    assert caught.value.reason is Reason.INVALID_HEADER
    assert caught.value.fields[0][0] == "Content-Digest"


@given(st.integers(0, 2**32 - 1) | st.none(), st.binary(min_size=32, max_size=32) | st.none())
def test_a_written_digest_can_be_parsed(crc32c: int | None, sha256: bytes | None) -> None:
    checksums = Checksums(crc32c, sha256)
    assert digest_header({"repr-digest": repr_digest(checksums)}, "Repr-Digest") == checksums


@given(st.text())
def test_any_digest_is_parsed_or_refused(text: str) -> None:
    try:
        digest_header({"repr-digest": text}, "Repr-Digest")
    except InvalidArgument as error:
        assert error.reason is Reason.INVALID_HEADER  # noqa: PT017


SPACE = st.text(" \t", max_size=3)


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.sampled_from(["md5", "unixsum", "a", "x-9", "sha-512"]), max_size=5),
    st.data(),
)
def test_a_digest_is_found_among_others(
    crc32c: int, others: list[str], data: st.DataObject
) -> None:
    members = [f"{name}{data.draw(SPACE)}={data.draw(SPACE)}:AAAA:" for name in others]
    members.insert(data.draw(st.integers(0, len(others))), repr_digest(Checksums(crc32c)))
    text = f"{data.draw(SPACE)},{data.draw(SPACE)}".join(members)
    assert digest_header({"repr-digest": text}, "Repr-Digest") == Checksums(crc32c)


@pytest.mark.parametrize("junk", ["x", " ", "x=", "x=:", ":", "-"])
def test_an_oversized_digest_is_refused_unread(junk: str) -> None:
    text = f"crc32c=:AAAAAA==:, {junk * 1024}"
    with pytest.raises(InvalidArgument) as caught:
        digest_header({"content-digest": text}, "Content-Digest")
    assert caught.value.reason is Reason.INVALID_HEADER
    assert caught.value.fields == (("Content-Digest", "at most 1024 characters long"),)


# Content-Disposition


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("", "inline"),
        ("a b.jpg", 'inline; filename="a b.jpg"'),
        ("größe.jpg", "inline; filename=\"gr__e.jpg\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.jpg"),
        ('a"b.jpg', "inline; filename=\"a_b.jpg\"; filename*=UTF-8''a%22b.jpg"),
        ("100%.jpg", "inline; filename=\"100_.jpg\"; filename*=UTF-8''100%25.jpg"),
        ("a\\b", "inline; filename=\"a_b\"; filename*=UTF-8''a%5Cb"),
        ("a;b=c.jpg", 'inline; filename="a;b=c.jpg"'),
        ("🙂", "inline; filename=\"_\"; filename*=UTF-8''%F0%9F%99%82"),
        (" ", "inline; filename=\"_\"; filename*=UTF-8''%20"),
        (" a b  ", "inline; filename=\"_a b _\"; filename*=UTF-8''%20a%20b%20%20"),
        ("a\r\nX: y", "inline; filename=\"a__X: y\"; filename*=UTF-8''a%0D%0AX%3A%20y"),
    ],
)
def test_a_content_disposition_has_both_forms_of_the_filename(filename: str, expected: str) -> None:
    assert content_disposition(filename, "image/jpeg", attachment=False) == expected


@pytest.mark.parametrize(
    "content_type",
    ["image/jpeg", "image/avif", "video/mp4", "audio/ogg", "application/pdf"],
)
def test_harmless_types_are_shown_inline(content_type: str) -> None:
    assert content_disposition("", content_type, attachment=False) == "inline"
    assert content_disposition("", content_type, attachment=True) == "attachment"


@pytest.mark.parametrize(
    "content_type",
    [
        "image/svg+xml",
        "text/html",
        "application/xhtml+xml",
        "application/octet-stream",
        "",
        "x/image/png",
    ],
)
def test_active_content_is_an_attachment(content_type: str) -> None:
    assert content_disposition("x", content_type, attachment=False).startswith("attachment")


@given(st.one_of(st.text(max_size=200), st.sampled_from(["é" * 10_000, "a" * 10_000])))
def test_any_filename_round_trips_safely_through_a_header(filename: str) -> None:
    header = content_disposition(filename, "image/png", attachment=True)
    assert header.isascii()
    assert header.isprintable()
    message = Message()
    message["content-disposition"] = header
    assert message.get_content_disposition() == "attachment"
    # Python's parser prefers the plain name; browsers, and RFC 6266, the other.
    _, extended, encoded = header.partition("filename*=UTF-8''")
    named = unquote(encoded) if extended else message.get_filename() or ""
    assert named == clean(filename)
