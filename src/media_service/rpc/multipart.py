"""multipart/form-data (RFC 7578), parsed as it streams in: one file, after fields that describe it.

A field has the name of a field of UploadSpec. `tags` occurs once for each tag, and a label is a
field of its own, `labels.KEY`.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from email.message import Message

from google.protobuf.json_format import ParseDict, ParseError
from mediaservice.v1 import upload_pb2
from python_multipart.multipart import MultipartParser

from media_service.errors import InvalidArgument, Reason, Unavailable
from media_service.rpc.http import MAX_HEADER_LENGTH
from media_service.storage.buffer import Buffer
from media_service.uploads.model import KIB, Chunk

# Bounds everything that is held in memory: headers and fields, not the file. All fields at their
# largest, with the headers that browsers send, fit.
MAX_OVERHEAD = 256 * KIB
MAX_BOUNDARY = 70  # RFC 2046, section 5.1.1
# Python's parser of a header's parameters takes time in the square of its length. A name of 255
# bytes, each written as three, fits twice.
MAX_PART_HEADER = 2 * KIB
TEXT_FIELDS = {"filename", "title", "description", "project_id"}
FIELDS = {*TEXT_FIELDS, "visibility", "capture_time", "expire_time", "max_size_bytes", "tags"}
LABEL = "labels."
# What a field that is not text must be.
FORMS = {
    "visibility": "PRIVATE, PUBLIC or PUBLIC_ORIGINAL",
    "capture_time": "a time such as 2026-05-06T07:08:09Z",
    "expire_time": "a time such as 2026-05-06T07:08:09Z",
    "max_size_bytes": "a number",
}


def boundary_of(content_type: str) -> bytes | None:
    """The boundary of a multipart/form-data type; None for other types. Raises InvalidArgument
    (INVALID_MULTIPART)."""
    if plain_type(content_type).lower() != "multipart/form-data":
        return None
    if len(content_type) > MAX_HEADER_LENGTH:
        raise invalid(f"its content type is longer than {MAX_HEADER_LENGTH} characters")
    message = Message()
    message["content-type"] = content_type
    try:
        boundary = (message.get_boundary() or "").encode()
    except ValueError:  # RFC 2231 lets a parameter be in any encoding
        boundary = b""
    if not 1 <= len(boundary) <= MAX_BOUNDARY:
        raise invalid(f"the content type names no boundary of 1 to {MAX_BOUNDARY} characters")
    return boundary


def plain_type(content_type: str) -> str:
    """A declared type without parameters."""
    return content_type.partition(";")[0].strip()


def invalid(why: str) -> InvalidArgument:
    return InvalidArgument(Reason.INVALID_MULTIPART, f"The form is not valid: {why}.")


class MultipartFile:
    """The one file of a form. `spec`: what the request states elsewhere; the form adds the fields
    that are not set there. A field `filename` wins over the name in the file's own headers."""

    def __init__(self, boundary: bytes, spec: upload_pb2.UploadSpec) -> None:
        self._spec = spec
        self._stated = {field.name for field, _ in spec.ListFields()}
        self._labels = set(spec.labels)
        self._seen: set[str] = set()
        self._field = bytearray()
        self._name = b""
        self._value = b""
        self._headers = Message()
        self._in_file = False
        self._file_seen = False
        self._done = False
        self._data: list[bytes] = []
        self._overhead = 0
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._part_data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )

    async def open(self, first: Buffer, rest: AsyncIterator[Buffer]) -> AsyncGenerator[Chunk, None]:
        """Reads up to the file and completes the spec; returns the file. Raises InvalidArgument
        (INVALID_MULTIPART) and Unavailable (INCOMPLETE_BODY)."""
        self._parse(first)
        while not self._file_seen:
            data = await anext(rest, None)
            if data is None:
                raise invalid("it has no file") if self._done else self._broken()
            self._parse(data)
        return self._chunks(rest)

    async def _chunks(self, rest: AsyncIterator[Buffer]) -> AsyncGenerator[Chunk, None]:
        while True:
            pieces, self._data = self._data, []
            for piece in pieces:
                yield Chunk(piece)
            data = await anext(rest, None)
            if data is None:
                break
            self._parse(data)
        if not self._done:
            raise self._broken()
        yield Chunk(b"", finish=True)

    def _broken(self) -> Unavailable:
        return Unavailable(
            Reason.INCOMPLETE_BODY, "The form ended before its closing boundary. Send it again."
        )

    def _parse(self, data: Buffer) -> None:
        try:
            self._parser.write(bytes(data))
        except ValueError as error:  # the parser's own, or a name in an encoding that is none
            raise invalid(str(error).rstrip(".")) from None

    def _spend(self, size: int) -> None:
        self._overhead += size
        if self._overhead > MAX_OVERHEAD:
            raise invalid(f"its fields and headers are larger than {MAX_OVERHEAD} bytes")

    # What the parser calls, in the order of the form.

    def _part_begin(self) -> None:
        self._headers = Message()
        self._field = bytearray()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._spend(end - start)
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._spend(end - start)
        if len(self._value) + end - start > MAX_PART_HEADER:
            raise invalid(f"a header of a part is longer than {MAX_PART_HEADER} bytes")
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.decode("latin-1")] = self._value.decode("utf-8", "replace")
        self._name = self._value = b""

    def _headers_finished(self) -> None:
        self._in_file = self._headers.get_filename() is not None
        if self._in_file and self._file_seen:
            raise invalid("it has more than one file; send one request for each")
        if not self._in_file and self._file_seen:
            raise invalid("fields must stand before the file")
        if self._in_file:
            self._file_seen = True
            declared = plain_type(self._headers.get("content-type", ""))
            if declared != "application/octet-stream":
                self._spec.content_type = self._spec.content_type or declared
            self._spec.filename = self._spec.filename or self._headers.get_filename() or ""
        else:
            self._begin_field()

    def _begin_field(self) -> None:
        name = self._field_name()
        if name not in FIELDS and not name.startswith(LABEL):
            known = ", ".join(sorted(FIELDS))
            raise invalid(f"{name[:40]!r} is not a field; {known} and {LABEL}KEY are")
        if name in self._seen and name != "tags":
            raise invalid(f"it has the field {name[:80]} twice")
        self._seen.add(name)

    def _field_name(self) -> str:
        name = self._headers.get_param("name", "", "content-disposition")
        return name if isinstance(name, str) else ""

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._data.append(data[start:end])
        else:
            self._spend(end - start)
            self._field += data[start:end]

    def _part_end(self) -> None:
        if not self._in_file:
            try:
                self._set(self._field_name(), self._field.decode())
            except UnicodeDecodeError:
                raise invalid(f"the field {self._field_name()[:80]} is not UTF-8") from None

    def _set(self, name: str, value: str) -> None:
        if name in self._stated:
            return
        if name.startswith(LABEL):
            key = name.removeprefix(LABEL)
            if key not in self._labels:
                self._spec.labels[key] = value
        elif name == "tags":
            self._spec.tags.append(value)
        else:
            self._set_scalar(name, value)

    def _set_scalar(self, name: str, value: str) -> None:
        if not value and name not in TEXT_FIELDS:  # as browsers send a field that is left empty
            return
        try:
            ParseDict({name: value.upper() if name == "visibility" else value}, self._spec)
        except ParseError:
            why = f"must be {FORMS[name]}"
            raise InvalidArgument(
                Reason.INVALID_FIELD, f"The field {name} {why}.", ((name, why),)
            ) from None

    def _end(self) -> None:
        self._done = True
