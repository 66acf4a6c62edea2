"""The text form of pipelines: what users write, and the operations it stands for."""

import pytest
from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.pipeline import operation_fields as fields
from media_service.codecs.pipeline.catalogue import OperationManual, catalogue
from media_service.codecs.pipeline.text_form import canonical_text, copy_of, parse_text
from media_service.codecs.pipeline.validation import parse, validate
from media_service.errors import InvalidArgument

MEDIA = "0190163d-8694-739b-aea5-966c26f8ad91"
# Parameters that are required together.
PAIRS = (("x", "y"), ("focal_x", "focal_y"))
# Operations with one parameter, or whose parameters bound each other.
ONE = {"clip", "compress", "frame", "stream"}


def refusal(text: str) -> str:
    with pytest.raises(InvalidArgument) as refused:
        parse(text)
    assert refused.value.reason == "INVALID_OPERATIONS"
    return refused.value.message


@pytest.mark.parametrize(
    ("written", "stands_for"),
    [
        ("resize:800x600", "resize:width=800:height=600"),
        ("resize:800x", "resize:width=800"),
        ("resize:x600", "resize:height=600"),
        ("resize:800", "resize:width=800"),
        ("resize:800:600", "resize:width=800:height=600"),
        ("resize:height=5:800x", "resize:width=800:height=5"),
        ("resize:fit=cover:40x30", "resize:width=40:height=30:fit=COVER"),
        ("Resize : 800x600 , GRAYSCALE", "resize:width=800:height=600,grayscale"),
        ("clarendon", "filter:name=CLARENDON"),
        ("XPRO2:0.5", "filter:name=XPRO2:amount=0.5"),
        ("filter:moon:amount=.25", "filter:name=MOON:amount=0.25"),
        ("text:Hello~2C world~3a 100%", "text:text=Hello~2C~20world~3A~20100%"),
        ("text: a ~3D b ", "text:text=a~20~3D~20b"),
        ("text:text = a~3Db", "text:text=a~3Db"),
        ("text:~20a~0A", "text:text=~20a~0A"),
        ("text:~7E~C3~BC%2C+", "text:text=~7Eü%2C+"),
        ("text:\u00a0a\u2003b", "text:text=\u00a0a\u2003b"),
        ("text:text=tile:tile", "text:text=tile:tile=true"),
        (
            f"watermark:{MEDIA}:tile:opacity=0.5",
            f"watermark:media_id={MEDIA}:opacity=0.5:tile=true",
        ),
        (f"compose:{MEDIA}:-5:6:300x", f"compose:media_id={MEDIA}:x=-5:y=6:width=300"),
        ("blur:3", "blur"),
        ("blur:1E1", "blur:sigma=10.0"),
        ("rotate:-0.0", "rotate"),
        ("rotate:360", "rotate"),
        ("rotate:270:F80", "rotate:degrees=-90.0:background=ff8800"),
        ("rotate:45:#f80", "rotate:degrees=45.0:background=ff8800"),
        ("tint:#FF8800", "tint:color=ff8800"),
        ("rotate:-180", "rotate:degrees=180.0"),
        ("hue:-270", "hue"),
        ("text:a:color=FFF:degrees=-360", "text:text=a"),
        ("pad:1:background=FFFFFFFF", "pad:top=1"),
        ("pad:1:background=0000ff80", "pad:top=1:background=0000ff80"),
        ("round_corners:background=FFFFFF", "round_corners:background=ffffff"),
        ("tint:ABC", "tint:color=aabbcc"),
        (f"watermark:{MEDIA.upper()}", f"watermark:media_id={MEDIA}"),
        (
            "metadata:keep,blur,compress:5,flip,convert:PNG",
            "blur,flip,convert:format=PNG,compress:quality=5,metadata:policy=KEEP",
        ),
        ("flip:horizontal,flip:VERTICAL", "flip,flip:direction=VERTICAL"),
        ("convert:jpg", "convert:format=JPEG"),
        ("crop:9x9:gravity=top-left", "crop:width=9:height=9:gravity=NORTH_WEST"),
        (f"compose:{MEDIA}:blend=color-dodge", f"compose:media_id={MEDIA}:blend=COLOR_DODGE"),
        ("", ""),
        ("  ", ""),
    ],
)
def test_abbreviated_texts_are_parsed(written: str, stands_for: str) -> None:
    assert canonical_text(parse(written)) == stands_for


@pytest.mark.parametrize(
    ("written", "what_is_wrong"),
    [
        ("resize:100x100,", "ops[1] has no operation ''"),
        ("resizes:100", "ops[0] has no operation 'resizes'; did you mean resize?"),
        ("clarendo", "did you mean clarendon?"),
        ("rezise:100", "did you mean resize?"),
        ("RoundCorner:9", "did you mean round_corners?"),
        ("gray", "did you mean grayscale?"),
        ("x", "ListOperations lists all operations"),
        ("qqqqqqqqq", "ListOperations lists all operations"),
        ("name_unspecified", "has no operation"),
        ("blur:1:2", "ops[0].blur takes no more parameters than sigma"),
        ("grayscale:1", "takes no more parameters than none"),
        ("blur:sigma=1:sigma=2", "ops[0].blur.sigma is given twice"),
        ("resize:800x600:height=5", "ops[0].resize.height is given twice"),
        ("resize:height=5:800x600", "ops[0].resize.height is given twice"),
        ("resize:height=5:800x:width=1", "ops[0].resize.width is given twice"),
        ("resize:800x:x600", "ops[0].resize.fit must be one of INSIDE"),
        ("blur:sgima=2", "ops[0].blur has no parameter 'sgima'; did you mean sigma?"),
        ("text:a = b", "ops[0].text has no parameter 'a'; write an equals sign in a value as ~3D"),
        ("text:text=a=b", "ops[0].text.text must have equals signs written as ~3D"),
        ("blur:Sigma=2", "ops[0].blur has no parameter 'Sigma'; did you mean sigma?"),
        ("blur:1_0", "must be a number"),
        ("blur:nan", "must be a number"),
        ("blur:infinity", "must be a number"),
        ("blur:1e400", "ops[0].blur.sigma"),
        ("resize:٣", "must be a whole number"),
        ("resize:+5", "must be a whole number"),
        ("resize:3000000000", "must be between -2147483647 and 2147483647"),
        ("text:tile=maybe", "ops[0].text.tile must be true or false"),
        ("text:a:tile=maybe", "must be true or false"),
        ("text:~FF", "ops[0].text.text has an escape sequence that is not UTF-8"),
        ("text:a~2", "ops[0].text.text must have two hexadecimal digits after each ~"),
        ("text:~", "must have two hexadecimal digits after each ~"),
        ("text:\udc80", "must be text"),
        ("text:a~00b", "ops[0].text.text"),
        ("grayscale,flip:sideways", "ops[1].flip.direction must be one of HORIZONTAL, VERTICAL"),
        ("convert:png,convert:webp", "must have at most one convert"),
        ("compress:1,grayscale,compress:2", "must have at most one compress"),
        ("metadata,metadata:keep", "must have at most one metadata"),
        (",".join(["negate"] * 33), "must have at most 32 operations"),
        ("text:" + "x" * 4000, "must have at most 4000 characters"),
    ],
)
def test_errors_say_what_is_wrong(written: str, what_is_wrong: str) -> None:
    assert what_is_wrong in refusal(written)
    assert not refusal(written).endswith("?.")


def test_the_limit_on_operations_applies_to_messages() -> None:
    with pytest.raises(InvalidArgument, match="must have at most 32 operations"):
        validate([Operation(negate=Operation.Negate())] * 33)


def test_an_empty_operation_message_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"ops\[0\]"):
        validate([Operation()])


def test_parse_text_has_no_length_limit_for_validated_pipelines() -> None:
    pipeline = [Operation(text=Operation.Text(text=", " * 250))] * 32
    validate(pipeline)
    assert parse_text(canonical_text(pipeline)) == pipeline


def test_changing_a_parsed_pipeline_does_not_affect_later_calls() -> None:
    parse("blur:7")[0].blur.sigma = 1
    assert parse("blur:7")[0].blur.sigma == 7


@pytest.mark.parametrize("manual", catalogue(), ids=lambda manual: manual.name)
def test_every_operation_has_a_manual_whose_example_works(manual: OperationManual) -> None:
    [operation] = parse(manual.example)
    assert fields.unpack(operation)[0] == manual.name
    assert manual.description.endswith(".")


@pytest.mark.parametrize("manual", catalogue(), ids=lambda manual: manual.name)
def test_every_documented_bound_is_allowed(manual: OperationManual) -> None:
    [operation] = parse(manual.example)
    name, _ = fields.unpack(operation)
    for parameter in manual.parameters:
        for bound in filter(None, (parameter.minimum, parameter.maximum)):
            if (parameter.name, bound) == ("end_seconds", "0"):
                continue  # a clip that ends at 0 is empty
            tried = copy_of(operation)
            message = getattr(tried, name)
            if name in ONE:
                message.Clear()
            field = message.DESCRIPTOR.fields_by_name[parameter.name]
            setattr(message, parameter.name, fields.parse_value(field, bound))
            for pair in PAIRS:
                if parameter.name in pair:
                    for other in pair:
                        setattr(message, other, getattr(message, parameter.name))
            validate([tried])


def test_every_number_has_bounds() -> None:
    for manual in catalogue():
        for parameter in manual.parameters:
            if parameter.kind in {"int", "float"}:
                assert parameter.minimum, (manual.name, parameter.name)
                assert parameter.maximum, (manual.name, parameter.name)


@pytest.mark.parametrize("manual", catalogue(), ids=lambda manual: manual.name)
def test_every_default_is_allowed(manual: OperationManual) -> None:
    [operation] = parse(manual.example)
    validate([fields.with_defaults(operation)])
