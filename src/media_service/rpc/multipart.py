"""multipart/form-data (RFC 7578), parsed as it streams in: one file, after fields that describe it.

A field that describes the file has the name of a field of UploadSpec, in either spelling. `tags`
occurs once for each tag, a label is a field of its own, `labels.KEY`, and `metadata` is JSON. Other
fields, before and behind the file, are ignored: upload libraries and HTML forms send their own.
"""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from mediaservice.v1 import upload_pb2

from media_service.errors import InvalidArgument, Reason, Unavailable
from media_service.rpc.declared_type import declared_type, plain_type
from media_service.rpc.form_parser import FormError, FormParser, PartBegin, PartEnd
from media_service.rpc.header_parameters import parameters
from media_service.rpc.http import MAX_HEADER_LENGTH
from media_service.storage.buffer import Buffer
from media_service.uploads.model import KIB, Chunk

# Bounds headers and fields, not the file. All fields at their largest, with the headers that
# browsers send, fit.
MAX_OVERHEAD = 256 * KIB
MAX_BOUNDARY = 70  # RFC 2046, section 5.1.1
TEXT_FIELDS = {"filename", "title", "description", "project_id", "media_id", "if_etag"}
FIELDS = {
    *TEXT_FIELDS,
    *("visibility", "capture_time", "expire_time", "max_size_bytes", "tags", "rating", "metadata"),
}
LABEL = "labels."
# What else describes a file. It must not vanish among the ignored fields.
QUERY_FIELDS = set(upload_pb2.UploadSpec.DESCRIPTOR.fields_by_name) - FIELDS - {"labels"}
# The JSON names of fields.
JSON_NAMES = {field.json_name: field.name for field in upload_pb2.UploadSpec.DESCRIPTOR.fields}
# What a field that is not text must be.
FORMS = {
    "visibility": "PRIVATE, PUBLIC or PUBLIC_ORIGINAL",
    "capture_time": "a time such as 2026-05-06T07:08:09Z",
    "expire_time": "a time such as 2026-05-06T07:08:09Z",
    "max_size_bytes": "a number",
    "rating": "a number",
    "metadata": "a JSON object",
}
# Fields in lower case that say how many pieces a library makes of a file, each in a form of its
# own: Plupload, Dropzone, Flow.js, Fine Uploader, Resumable.js.
PIECES = {"chunks", "dztotalchunkcount", "flowtotalchunks", "qqtotalparts", "resumabletotalchunks"}


def boundary_of(content_type: str) -> bytes | None:
    """The boundary of a multipart/form-data type; None for other types. Raises InvalidArgument
    (INVALID_MULTIPART)."""
    if plain_type(content_type).lower() != "multipart/form-data":
        return None
    if len(content_type) > MAX_HEADER_LENGTH:
        raise invalid(f"its content type is longer than {MAX_HEADER_LENGTH} characters")
    try:
        boundary = parameters(content_type).get("boundary", "").encode()
    except ValueError:
        boundary = b""
    if not 1 <= len(boundary) <= MAX_BOUNDARY:
        raise invalid(f"the content type names no boundary of 1 to {MAX_BOUNDARY} characters")
    return boundary


def last_part(filename: str) -> str:
    """A file name without its path, which browsers send for a folder (RFC 7578, section 4.2)."""
    return re.split(r"[/\\]", filename)[-1]


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
        # The field that is being read; empty if it is ignored.
        self._name = ""
        self._field = bytearray()
        # The headers of a file that has neither a name nor, so far, any bytes.
        self._unnamed: PartBegin | None = None
        self._in_file = False
        self._file_seen = False
        self._data: list[bytes] = []
        self._overhead = 0
        self._parser = FormParser(boundary)

    async def open(self, first: Buffer, rest: AsyncIterator[Buffer]) -> AsyncGenerator[Chunk, None]:
        """Reads up to the file and completes the spec; returns the file. Raises InvalidArgument
        (INVALID_MULTIPART) and Unavailable (INCOMPLETE_BODY)."""
        self._parse(first)
        while not self._file_seen:
            data = await anext(rest, None)
            if data is None:
                raise no_file() if self._parser.ended else self._broken()
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
        if not self._parser.ended:
            raise self._broken()
        yield Chunk(b"", finish=True)

    def _broken(self) -> Unavailable:
        return Unavailable(
            Reason.INCOMPLETE_BODY, "The form ended before its closing boundary. Send it again."
        )

    def _parse(self, data: Buffer) -> None:
        try:
            for event in self._parser.feed(bytes(data)):
                if isinstance(event, PartBegin):
                    self._begin(event)
                elif isinstance(event, PartEnd):
                    self._end()
                else:
                    self._add(event)
        except FormError as error:
            raise invalid(str(error)) from None

    def _spend(self, size: int) -> None:
        self._overhead += size
        if self._overhead > MAX_OVERHEAD:
            raise invalid(f"its fields and headers are larger than {MAX_OVERHEAD} bytes")

    def _begin(self, part: PartBegin) -> None:
        self._spend(part.size)
        try:
            disposition = parameters(part.headers.get("content-disposition", ""))
        except ValueError:
            raise invalid("a parameter of Content-Disposition is not in its encoding") from None
        filename = disposition.get("filename")
        self._name = ""
        self._in_file = False
        if filename is None:
            self._begin_field(disposition.get("name", ""))
        elif filename:
            self._begin_file(part, filename)
        else:
            self._unnamed = part

    def _begin_file(self, part: PartBegin, filename: str) -> None:
        if self._file_seen:
            raise invalid("it has more than one file; send one request for each")
        self._in_file = self._file_seen = True
        declared = declared_type(part.headers.get("content-type", ""))
        self._spec.content_type = self._spec.content_type or declared
        self._spec.filename = self._spec.filename or last_part(filename)

    def _begin_field(self, name: str) -> None:
        name = JSON_NAMES.get(name, name)
        if name.lower() in PIECES:
            self._name = name
        elif name in FIELDS or name.startswith(LABEL):
            if self._file_seen:
                raise invalid(
                    f"{name[:80]} comes behind the file; fields must stand before the file that"
                    " they describe"
                )
            if name in self._seen and name != "tags":
                raise invalid(f"it has the field {name[:80]} twice")
            self._seen.add(name)
            self._name = name
        elif name in QUERY_FIELDS:
            raise invalid(f"{name} is not a field of a form; send it in the query, as spec.{name}")
        self._field = bytearray()

    def _add(self, data: bytes) -> None:
        if self._unnamed:
            part, self._unnamed = self._unnamed, None
            self._begin_file(part, "")
        if self._in_file:
            self._data.append(data)
            return
        self._spend(len(data))
        if self._name:
            self._field += data

    def _end(self) -> None:
        self._unnamed = None  # an empty file without a name: an input that was left empty
        if not self._name:
            return
        try:
            value = self._field.decode()
        except UnicodeDecodeError:
            raise invalid(f"the field {self._name[:80]} is not UTF-8") from None
        if self._name.lower() in PIECES:
            check_whole(value)
        else:
            self._set(self._name, value)

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
            ParseDict({name: parsed(name, value)}, self._spec)
        except (ParseError, ValueError, RecursionError):
            why = f"must be {FORMS[name]}"
            raise InvalidArgument(
                Reason.INVALID_FIELD, f"The field {name} {why}.", ((name, why),)
            ) from None


def parsed(name: str, value: str) -> Any:
    """The JSON value of a field. Raises ValueError, RecursionError."""
    match name:
        case "visibility":
            return value.upper()
        case "metadata":
            return json.loads(value)
    return value


def no_file() -> InvalidArgument:
    return invalid("it has no file, which is a part whose Content-Disposition has a filename")


def check_whole(pieces: str) -> None:
    """Refuses a piece of a file, which would become a media of its own."""
    if re.fullmatch(r"[0-9]{1,9}", pieces) and int(pieces) > 1:
        raise invalid(
            f"it holds one of {pieces} pieces of a file; turn off chunks in the upload library, or"
            " send the pieces as parts of an upload (PutPart)"
        )
