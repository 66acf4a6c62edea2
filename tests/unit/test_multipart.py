"""Streaming multipart/form-data."""

from collections.abc import AsyncIterator, Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mediaservice.v1.media_pb2 import Media
from mediaservice.v1.upload_pb2 import UploadSpec

from media_service.errors import InvalidArgument, MediaError, Reason, Unavailable
from media_service.rpc.multipart import MAX_OVERHEAD, MultipartFile, boundary_of

BOUNDARY = "----form"
FILE = ('form-data; name="file"; filename="a.jpg"', "image/jpeg", b"the bytes")


def form(*parts: tuple[str, str, bytes], end: bytes = b"--\r\n") -> bytes:
    """A form of parts (Content-Disposition, Content-Type, body)."""
    body = b""
    for disposition, content_type, data in parts:
        body += f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n".encode()
        if content_type:
            body += f"Content-Type: {content_type}\r\n".encode()
        body += b"\r\n" + data + b"\r\n"
    return body + f"--{BOUNDARY}".encode() + end


async def stream(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def read(*pieces: bytes, filename: str = "") -> tuple[UploadSpec, bytes]:
    """The upload; checks that the last chunk, and only that, finishes it."""
    first, *rest = pieces
    spec = UploadSpec(filename=filename)
    chunks = await MultipartFile(BOUNDARY.encode(), spec).open(first, stream(rest))
    found = [chunk async for chunk in chunks]
    assert [chunk.finish for chunk in found] == [False] * (len(found) - 1) + [True]
    return spec, b"".join(chunk.data for chunk in found)


async def refused(*pieces: bytes) -> MediaError:
    with pytest.raises((InvalidArgument, Unavailable)) as caught:
        await read(*pieces)
    return caught.value


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


async def test_a_form_part_has_a_filename_and_type() -> None:
    spec, data = await read(form(FILE))
    assert (spec.filename, spec.content_type, data) == ("a.jpg", "image/jpeg", b"the bytes")
    assert not spec.HasField("size_bytes")


# Bytes that look like the delimiter, or the beginning of it.
TRICKY = st.lists(
    st.sampled_from([b"\r\n", b"\r", b"\n", b"--", b"-", f"\r\n--{BOUNDARY[:-1]}".encode(), b"x"]),
    max_size=20,
).map(b"".join)


@settings(max_examples=300)
@given(
    data=st.one_of(st.binary(max_size=300), TRICKY),
    places=st.lists(st.integers(0, 2000), max_size=30),
    named=st.booleans(),
)
async def test_the_file_does_not_depend_on_how_the_body_is_split(
    data: bytes, places: list[int], named: bool
) -> None:
    parts = [('form-data; name="filename"', "", b"other.jpg")] if named else []
    body = form(*parts, (FILE[0], FILE[1], data))
    spec, found = await read(*cut(body, places))
    assert found == data
    assert spec.filename == ("other.jpg" if named else "a.jpg")


async def test_a_body_is_parsed_byte_by_byte() -> None:
    body = form(FILE)
    assert (await read(*[body[n : n + 1] for n in range(len(body))]))[1] == b"the bytes"


@settings(max_examples=100)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 2000), max_size=5))
async def test_a_truncated_body_does_not_finish(end: int, places: list[int]) -> None:
    body = form(FILE, end=b"--")
    error = await refused(*cut(body[: end % len(body)], places))
    assert error.reason is Reason.INCOMPLETE_BODY


async def test_an_empty_body_is_incomplete() -> None:
    assert (await refused(b"")).reason is Reason.INCOMPLETE_BODY


async def test_an_epilogue_is_ignored() -> None:
    assert (await read(form(FILE), b"an epilogue\r\n--x"))[1] == b"the bytes"


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        ('form-data; name="f"; filename="a;b=c.jpg"', "a;b=c.jpg"),
        (r'form-data; name="f"; filename="a\"b.jpg"', 'a"b.jpg'),
        ("form-data; name=f; filename=plain.jpg", "plain.jpg"),
        ('form-data; name="f"; filename="größe.jpg"', "größe.jpg"),
        ("form-data; name=f; filename*=UTF-8''gr%C3%B6%C3%9Fe.jpg", "größe.jpg"),
        ("form-data; name=f; filename*=iso-8859-1''gr%F6%DFe.jpg", "größe.jpg"),
        ("form-data; name=f; filename*=no-such-charset''a.jpg", "a.jpg"),
        ('form-data; filename="no field name"', "no field name"),
        ('FORM-DATA; NAME="f"; FILENAME="upper.jpg"', "upper.jpg"),
        ('form-data; name="f"; filename=""', ""),
    ],
)
async def test_a_filename_is_read_in_every_encoding(disposition: str, filename: str) -> None:
    assert (await read(form((disposition, "", b"x"))))[0].filename == filename


@pytest.mark.parametrize(
    "filename",
    ["undefined''%e2.jpg", "idna''%e2.jpg", "punycode''%e2.jpg", "utf-8''%ff.jpg", "utf-7''+2AA-"],
)
async def test_a_filename_that_is_not_in_its_encoding_is_refused(filename: str) -> None:
    error = await refused(form((f"form-data; name=f; filename*={filename}", "", b"x")))
    assert error.reason is Reason.INVALID_MULTIPART


@pytest.mark.parametrize(
    "disposition",
    [
        "form-data; name=f; filename*=UTF-8''a.jpg; filename*0=b.jpg",
        "form-data; name=f; filename*0*=UTF-8''b; filename*1=c; filename*=UTF-8''a.jpg",
        "form-data; name=f; filename*0=b.jpg; filename*=UTF-8''a.jpg; filename=c.jpg",
        "form-data; name*0=a; name*=UTF-8''f; filename=a.jpg",
    ],
)
async def test_continued_parameters_of_mail_headers_are_ignored(disposition: str) -> None:
    """RFC 7578 has no `filename*0`."""
    assert (await read(form((disposition, "", b"x"))))[0].filename == "a.jpg"


async def test_a_line_of_the_file_must_not_begin_with_the_boundary() -> None:
    """RFC 2046, section 5.1.1. A search for the next delimiter can then stop at the first one."""
    error = await refused(form((FILE[0], FILE[1], f"a\r\n--{BOUNDARY}b".encode())))
    assert error.reason is Reason.INVALID_MULTIPART
    assert "a line of a part begins with the boundary" in error.message


async def test_white_space_behind_a_boundary_is_ignored() -> None:
    body = form(('form-data; name="title"', "", b"t"), FILE)
    body = body.replace(f"--{BOUNDARY}\r\n".encode(), f"--{BOUNDARY} \t \r\n".encode())
    assert (await read(*[body[n : n + 1] for n in range(len(body))]))[1] == b"the bytes"


async def test_a_filename_with_invalid_utf8_is_readable() -> None:
    body = form(FILE).replace(b"a.jpg", b"\xff\xfe.jpg")
    assert (await read(body))[0].filename == "\ufffd\ufffd.jpg"


async def test_a_filename_of_maximum_length_fits_in_every_encoding() -> None:
    encoded = "%C3%A9" * 127
    disposition = f'form-data; name="file"; filename="{encoded}"; filename*=UTF-8\'\'{encoded}'
    spec, _ = await read(form((disposition, "image/jpeg", b"x")))
    assert len(spec.filename) in {127, len(encoded)}


async def test_a_header_that_is_slow_to_parse_is_refused() -> None:
    disposition = 'form-data; name="file"; filename=a; x="' + ";" * 2048
    error = await refused(form((disposition, "image/jpeg", b"x")))
    assert "a header of a part is longer than 2048 bytes" in error.message


async def test_a_filename_field_overrides_the_part_and_the_request_overrides_both() -> None:
    body = form(('form-data; name="filename"', "", "größe.jpg".encode()), FILE)
    assert (await read(body))[0].filename == "größe.jpg"
    assert (await read(body, filename="c.jpg"))[0].filename == "c.jpg"
    assert (await read(form(FILE), filename="c.jpg"))[0].filename == "c.jpg"


DESCRIBED = [
    ("title", "Am Strand"),
    ("description", "Sand,\nsea"),
    ("tags", "sea"),
    ("tags", "größe"),
    ("labels.album", "2026"),
    ("labels.app/v1", ""),
    ("visibility", "public"),
    ("project_id", "p"),
    ("capture_time", "2026-05-06T09:08:09.5+02:00"),
    ("expire_time", ""),
    ("max_size_bytes", "1000"),
    ("rating", "4"),
    ("metadata", '{"shoot": {"takes": [1, 2]}}'),
]


def fields(described: Iterable[tuple[str, str]]) -> list[tuple[str, str, bytes]]:
    return [(f'form-data; name="{name}"', "", value.encode()) for name, value in described]


async def test_form_fields_set_the_attributes_of_the_file() -> None:
    spec, data = await read(form(*fields(DESCRIBED), FILE))
    assert data == b"the bytes"
    wanted = UploadSpec(
        filename="a.jpg",
        content_type="image/jpeg",
        title="Am Strand",
        description="Sand,\nsea",
        tags=["sea", "größe"],
        labels={"album": "2026", "app/v1": ""},
        visibility=Media.PUBLIC,
        project_id="p",
        max_size_bytes=1000,
        rating=4,
    )
    wanted.metadata.update({"shoot": {"takes": [1, 2]}})
    wanted.capture_time.FromJsonString("2026-05-06T07:08:09.5Z")
    assert spec == wanted


async def test_the_request_overrides_form_fields() -> None:
    spec = UploadSpec(title="Other", tags=["a"], labels={"album": "1"}, visibility=Media.PRIVATE)
    body = form(*fields(DESCRIBED), FILE)
    await MultipartFile(BOUNDARY.encode(), spec).open(body, stream([]))
    assert (spec.title, list(spec.tags)) == ("Other", ["a"])
    assert dict(spec.labels) == {"album": "1", "app/v1": ""}
    assert (spec.visibility, spec.project_id) == (Media.PRIVATE, "p")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("visibility", "SECRET"),
        ("capture_time", "yesterday"),
        ("expire_time", "2026-13-01T00:00:00Z"),
        ("max_size_bytes", "much"),
        ("max_size_bytes", "1" * 30),
        ("rating", "good"),
        ("metadata", "[1]"),
        ("metadata", "{"),
        ("metadata", "[" * 100_000),
    ],
)
async def test_an_error_names_a_malformed_form_field(name: str, value: str) -> None:
    error = await refused(form(*fields([(name, value)]), FILE))
    assert error.reason is Reason.INVALID_FIELD
    assert f"The field {name} must be" in error.message


async def test_all_form_fields_at_their_maximum_size_fit() -> None:
    described = [("title", "\U0001f3d6" * 200), ("description", "\U0001f3d6" * 5000)]
    described += [("tags", f"{n:03}" + "\U0001f3d6" * 61) for n in range(100)]
    described += [(f"labels.a{n:062}", "\U0001f3d6" * 255) for n in range(64)]
    spec, _ = await read(form(*fields(described), FILE))
    assert (len(spec.tags), len(spec.labels)) == (100, 64)


@pytest.mark.parametrize("content_type", ["", "application/octet-stream"])
async def test_a_generic_content_type_declares_no_type(content_type: str) -> None:
    assert (await read(form((FILE[0], content_type, b"x"))))[0].content_type == ""


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ([FILE, FILE], "more than one file"),
        ([FILE, ('form-data; name="filename"', "", b"x")], "fields must stand before the file"),
        ([('form-data; name="owner"', "", b"x"), FILE], "owner is not a field of a form"),
        ([('form-data; name="title"', "", b"x")] * 2 + [FILE], "it has the field title twice"),
        ([('form-data; name="labels.a"', "", b"x")] * 2 + [FILE], "the field labels.a twice"),
        ([('form-data; name="title"', "", b"\xff"), FILE], "the field title is not UTF-8"),
        ([FILE, ('form-data; name="colour"', "", b"x" * MAX_OVERHEAD)], "larger than"),
        ([('form-data; name="filename"', "", b"x")], "it has no file"),
        ([('form-data; name="filename"', "", b"x" * (MAX_OVERHEAD + 1)), FILE], "larger than"),
        ([('form-data; name="tags"', "", b"x")] * 300, "more than 200 parts"),
        ([(f'form-data; name="labels.{"a" * 1900}{n}"', "", b"x") for n in range(150)], "larger"),
        ([('form-data; name="file"; filename="' + "x" * 100_000 + '"', "", b"x")], "header"),
    ],
)
async def test_a_form_without_exactly_one_file_is_refused(
    parts: list[tuple[str, str, bytes]], why: str
) -> None:
    error = await refused(form(*parts))
    assert error.reason is Reason.INVALID_MULTIPART
    assert why in error.message


@pytest.mark.parametrize(
    "body",
    [
        b"\r\n" * 10_000,
        f"--{BOUNDARY}".encode() + b" " * 1000,
        f"--{BOUNDARY}\r\n".encode() + b"a" * 10_000,
        b"not a form",
        b"--another\r\n\r\nx",
        f"--{BOUNDARY}\r\nno header\r\n\r\nx".encode(),
        f"--{BOUNDARY}\r\n: empty\r\n\r\nx".encode(),
        f"--{BOUNDARY}\r\nA: b\rc\r\n\r\nx".encode(),
        f"--{BOUNDARY}\r\n".encode() + b"".join(b"X-%d: y\r\n" % n for n in range(10_000)),
    ],
)
async def test_a_body_that_is_not_a_form_is_refused(body: bytes) -> None:
    assert (await refused(body)).reason is Reason.INVALID_MULTIPART


FRAGMENTS = cut(form(FILE), range(0, 200, 9))


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=50) | st.sampled_from(FRAGMENTS), min_size=1))
async def test_any_bytes_are_parsed_or_refused(pieces: list[bytes]) -> None:
    try:
        await read(*pieces)
    except (InvalidArgument, Unavailable) as error:
        assert error.reason in {Reason.INVALID_MULTIPART, Reason.INCOMPLETE_BODY}  # noqa: PT017


async def test_only_headers_and_fields_are_held_in_memory() -> None:
    """A file is passed on piece by piece as it is received."""
    sent = 0

    async def rest() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield bytes(1000)
        yield form(FILE)[-len(BOUNDARY) - 8 :]

    head = form((FILE[0], FILE[1], b""), end=b"")[: -len(BOUNDARY) - 4]
    chunks = await MultipartFile(BOUNDARY.encode(), UploadSpec()).open(head, rest())
    assert sent == 0
    received = 0
    async for chunk in chunks:
        received += len(chunk.data)
        assert sent * 1000 - received <= 2000
    assert received == 100_000


# The boundary


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('multipart/form-data; charset=utf-8; boundary="a b:c"', b"a b:c"),
        ("Multipart/Form-Data; BOUNDARY=abc", b"abc"),
        ("multipart/form-data; boundary=" + "x" * 70, b"x" * 70),
        ("multipart/form-data; boundary*0=x; boundary*=abc", b"abc"),
        ("image/jpeg", None),
        ("multipart/mixed; boundary=abc", None),
        ("", None),
    ],
)
def test_a_boundary_is_read_from_the_content_type(
    content_type: str, boundary: bytes | None
) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    "parameter",
    [
        "",
        "; boundary=",
        '; boundary=""',
        "; boundary=" + "x" * 71,
        "; boundary=" + "x" * 10_000,
        "; boundary*=undefined''x",
        "; boundary*" + "9" * 5000 + "=x",
        '; boundary=b; x="' + ";" * 1000 + '"',
        "; boundary*0=x",
        "; boundary*=utf-8''%ff",
    ],
)
def test_a_form_without_a_boundary_is_refused(parameter: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        boundary_of(f"multipart/form-data{parameter}")
    assert caught.value.reason is Reason.INVALID_MULTIPART
