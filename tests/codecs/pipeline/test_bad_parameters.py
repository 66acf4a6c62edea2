"""Every operation refuses bad parameters and names the parameter."""

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import FieldDescriptor

from media_service.codecs.pipeline import operation_fields as fields
from media_service.codecs.pipeline.text_form import write_value
from media_service.codecs.pipeline.validation import parse, validate
from media_service.contract import field_rules
from media_service.errors import InvalidArgument

MEDIA = "0190163d-8694-739b-aea5-966c26f8ad91"


def needed(operation: str) -> dict[str, str]:
    """The required parameters of an operation: those its example is refused without."""
    [example] = parse(fields.example(fields.operations()[operation]))
    _, message = fields.unpack(example)
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        message.ClearField(field.name)
        try:
            validate([example])
        except InvalidArgument:
            setattr(message, field.name, value)
    return {
        field.name: write_value(field, getattr(message, field.name))
        for field in message.DESCRIPTOR.fields
        if fields.is_set(message, field)
    }


BY_HAND = [
    ("resize", "resize", "must have a width or a height"),
    ("resize", "resize:fit=COVER", "must have a width or a height"),
    ("resize", "resize:10:focal_x=0.5", "must have both focal_x and focal_y"),
    ("resize", "resize:10:background=12345", "background"),
    ("crop", "crop", "must have a width or a height"),
    ("crop", "crop:10:x=5", "must have both x and y"),
    ("crop", "crop:10:focal_y=0.5", "must have both focal_x and focal_y"),
    ("rotate", "rotate:background=red", "background"),
    ("pad", "pad:background=", "background"),
    ("round_corners", "round_corners:background=#ffff", "background"),
    ("tint", "tint:ff880080", "color"),
    ("watermark", "watermark", "media_id"),
    ("watermark", "watermark:logo.png", "media_id"),
    ("watermark", f"watermark:{MEDIA}:gravity=ATTENTION", "gravity"),
    ("watermark", f"watermark:{MEDIA}:gravity=ENTROPY", "gravity"),
    ("text", "text", "text"),
    ("text", "text:a:gravity=ENTROPY", "gravity"),
    ("text", "text:a:color=white", "color"),
    ("text", "text:" + "x" * 501, "text"),
    ("text", "text:a~09b", "text"),
    ("compose", "compose:not-a-media", "media_id"),
    ("filter", "filter", "name"),
    ("filter", "filter:NAME_UNSPECIFIED", "name"),
    ("compress", "compress:80:max_size_bytes=1000", "takes only one of"),
    ("compress", "compress:similarity=1", "similarity"),
    ("clip", "clip:5:5", "must end after it starts"),
    ("clip", "clip:5:2", "must end after it starts"),
    ("mute", "mute:true", "takes no more parameters"),
    ("stream", "stream:480:720", "must have a min_height of at most max_height"),
    ("frame", "frame:5:50", "takes only one of time_seconds and percent"),
    ("preview", "preview:format=JPEG", "format"),
    ("preview", "preview:format=AVIF", "format"),
    ("waveform", "waveform:PNG:color=blue", "color"),
    ("waveform", "waveform:PNG:background=none", "background"),
]


def written(operation: str, **parameters: str) -> str:
    """The text of a parameter, with the other coordinate where both are required together."""
    named = needed(operation)
    for name in parameters:
        other = name[:-1] + {"x": "y", "y": "x"}.get(name[-1], "")
        if other in fields.operations()[operation].fields_by_name:
            named[other] = "0"
    named |= parameters
    return ":".join([operation, *(f"{name}={value}" for name, value in named.items())])


def out_of_range(field: FieldDescriptor) -> Iterator[str]:
    kind = fields.type_name(field)
    bounds = getattr(field_rules(field), str(field_rules(field).WhichOneof("type")))
    assert bounds.HasField("gte") or bounds.HasField("gt"), f"{field.full_name} has no lower bound"
    assert bounds.HasField("lte") or bounds.HasField("lt"), f"{field.full_name} has no upper bound"
    step = 1 if kind == "int" else 0.001
    yield str(bounds.gte - step if bounds.HasField("gte") else bounds.gt)
    yield str(bounds.lte + step if bounds.HasField("lte") else bounds.lt)
    yield "9" * 18
    yield "a lot"
    yield ""


def cases() -> Iterator[tuple[str, str, str]]:
    for operation, message in fields.operations().items():
        if not fields.parameters(message):
            yield operation, f"{operation}:1", "takes no more parameters"
        for field in fields.parameters(message):
            kind = fields.type_name(field)
            if kind == "string":
                yield operation, written(operation, **{field.name: "~01"}), field.name
            if kind in {"int", "float"}:
                for value in out_of_range(field):
                    yield operation, written(operation, **{field.name: value}), field.name
            if enum := fields.enum_of(field):
                zero = enum.values_by_number[0].name
                for value in ("NONSENSE", zero, "1", ""):
                    yield operation, written(operation, **{field.name: value}), field.name
            if kind == "bool":
                yield operation, written(operation, **{field.name: "perhaps"}), field.name


ALL = [*cases(), *BY_HAND]


@pytest.mark.parametrize(
    ("operation", "text", "parameter"), ALL, ids=[case[1][:60] for case in ALL]
)
def test_bad_parameters_are_refused(operation: str, text: str, parameter: str) -> None:
    """`parameter`: the parameter's name, or the message about the operation."""
    with pytest.raises(InvalidArgument) as refused:
        parse(text)
    assert refused.value.reason == "INVALID_OPERATIONS"
    place = f"The pipeline is not valid: ops[0].{operation}"
    assert refused.value.message.startswith((f"{place}.{parameter} ", f"{place} {parameter}"))


def test_every_operation_has_a_bad_parameter() -> None:
    assert {operation for operation, _, _ in ALL} == set(fields.operations())
