"""Each pipeline that the contract allows has one canonical text and survives a round trip."""

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st
from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.pipeline import operation_fields as fields
from media_service.codecs.pipeline.text_form import (
    canonical_text,
    normalized,
    output_order,
    parse_text,
)
from media_service.codecs.pipeline.validation import parse
from media_service.errors import InvalidArgument
from tests.support.random_operations import allowed, operations

OPERATIONS = operations().filter(allowed)
SPACES = st.text(" \t", max_size=2)


def normal_form(pipeline: list[Operation]) -> list[Operation]:
    """The pipeline with explicit defaults, normalized and in output order."""
    steps = [fields.with_defaults(normalized(operation)) for operation in pipeline]
    return sorted(steps, key=output_order)


@given(st.lists(OPERATIONS, max_size=4))
def test_canonical_text_parses_to_the_same_pipeline(pipeline: list[Operation]) -> None:
    assert normal_form(parse_text(canonical_text(pipeline))) == normal_form(pipeline)


@given(OPERATIONS)
def test_canonical_text_of_an_allowed_operation_is_allowed(operation: Operation) -> None:
    assert normal_form(parse(canonical_text([operation]))) == normal_form([operation])


@given(st.lists(OPERATIONS, max_size=4))
def test_a_pipeline_has_one_canonical_text(pipeline: list[Operation]) -> None:
    text = canonical_text(pipeline)
    assert canonical_text(parse_text(text)) == text
    assert canonical_text(normal_form(pipeline)) == text


@given(st.lists(OPERATIONS, min_size=1, max_size=3), SPACES, SPACES)
def test_spaces_around_commas_are_ignored(
    pipeline: list[Operation], before: str, after: str
) -> None:
    spaced = f"{before},{after}".join(canonical_text([operation]) for operation in pipeline)
    assert canonical_text(parse_text(spaced)) == canonical_text(pipeline)


@settings(max_examples=300)
@given(
    st.text()
    | st.lists(
        st.sampled_from([*fields.operations(), *":,=x~%", "width", "800x", "-1", "1e9", "\udc80"]),
        max_size=12,
    ).map("".join)
)
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidArgument):
        pipeline = parse(text)
        assert canonical_text(parse(canonical_text(pipeline))) == canonical_text(pipeline)
