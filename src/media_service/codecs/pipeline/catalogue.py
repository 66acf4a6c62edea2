"""Builds the reference of all operations from the comments, examples and rules in the protos."""

from dataclasses import dataclass
from functools import cache

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FieldDescriptor
from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.formats import FORMATS
from media_service.codecs.pipeline import operation_fields as fields
from media_service.contract import descriptor_set, field_rules

FILE = "mediaservice/v1/operation.proto"
# Field numbers in descriptor.proto. Paths to comments consist of them.
MESSAGE, NESTED, FIELD = 4, 3, 2


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter. `default`, `minimum` and `maximum` are in the text form; empty means none."""

    name: str
    kind: str
    description: str
    default: str
    minimum: str
    maximum: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OperationManual:
    """The reference of an operation. For `input_kinds`, `output_kind` and `ends_pipeline`, see
    `operation_fields`."""

    name: str
    description: str
    example: str
    parameters: tuple[Parameter, ...]
    input_kinds: tuple[str, ...]
    output_kind: str
    ends_pipeline: bool


@cache
def catalogue() -> tuple[OperationManual, ...]:
    """Returns all operations, in the order of the protos."""
    comments = read_comments()
    return tuple(
        OperationManual(
            name,
            comments.get(message.full_name, ""),
            fields.example(message),
            tuple(
                parameter(field, comments.get(field.full_name, ""))
                for field in fields.parameters(message)
            ),
            tuple(fields.input_kinds(message)),
            fields.output_kind(message),
            fields.ends_pipeline(message),
        )
        for name, message in fields.operations().items()
    )


def parameter(field: FieldDescriptor, comment: str) -> Parameter:
    minimum, maximum = bounds(field)
    return Parameter(
        field.name,
        fields.type_name(field),
        comment,
        fields.default_text(field),
        minimum,
        maximum,
        choices(field),
    )


def choices(field: FieldDescriptor) -> tuple[str, ...]:
    """Returns the names of an enum that a request may use. For formats, these are the formats that
    can be written."""
    enum = fields.enum_of(field)
    if enum is None:
        return ()
    forbidden = field_rules(field).enum.not_in
    names = [n for n in fields.enum_names(enum) if enum.values_by_name[n].number not in forbidden]
    return tuple(name for name in names if enum != Operation.Format.DESCRIPTOR or name in FORMATS)


def bounds(field: FieldDescriptor) -> tuple[str, str]:
    """Returns the minimum and maximum. All bounds are inclusive."""
    rules = field_rules(field)
    numbers = getattr(rules, rules.WhichOneof("type") or "", None)
    if fields.type_name(field) not in {"int", "float"} or numbers is None:
        return "", ""
    minimum = f"{numbers.gte:.15g}" if numbers.HasField("gte") else ""
    maximum = f"{numbers.lte:.15g}" if numbers.HasField("lte") else ""
    return minimum, maximum


def read_comments() -> dict[str, str]:
    """Returns the comment of every operation and parameter as one line, by full name."""
    file = next(file for file in descriptor_set().file if file.name == FILE)
    comments = {}
    for location in file.source_code_info.location:
        names = [file.package]
        message: descriptor_pb2.DescriptorProto | None = None
        path = list(location.path)
        while path:
            kind, index, *path = [*path, 0] if len(path) == 1 else path
            if kind == MESSAGE and message is None:
                message = file.message_type[index]
            elif kind == NESTED and message is not None:
                message = message.nested_type[index]
            elif kind == FIELD and message is not None and not path:
                names.append(message.field[index].name)
                break
            else:
                names = []
                break
            names.append(message.name)
        if names and location.leading_comments:
            comments[".".join(names)] = " ".join(location.leading_comments.split())
    return comments
