"""The text form keeps every operation that the contract allows, and has one text for it."""

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


def meant(pipeline: list[Operation]) -> list[Operation]:
    """With the defaults, where a set parameter differs from a missing one, in the one way in which
    it is written."""
    steps = [fields.with_defaults(normalized(operation)) for operation in pipeline]
    return sorted(steps, key=output_order)


@given(st.lists(OPERATIONS, max_size=4))
def test_what_is_written_is_read_again(pipeline: list[Operation]) -> None:
    assert meant(parse_text(canonical_text(pipeline))) == meant(pipeline)


@given(OPERATIONS)
def test_what_is_written_is_allowed_like_what_was_given(operation: Operation) -> None:
    assert meant(parse(canonical_text([operation]))) == meant([operation])


@given(st.lists(OPERATIONS, max_size=4))
def test_a_pipeline_has_one_text(pipeline: list[Operation]) -> None:
    text = canonical_text(pipeline)
    assert canonical_text(parse_text(text)) == text
    assert canonical_text(meant(pipeline)) == text


@given(st.lists(OPERATIONS, min_size=1, max_size=3), SPACES, SPACES)
def test_spaces_around_commas_mean_nothing(
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
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidArgument):
        pipeline = parse(text)
        assert canonical_text(parse(canonical_text(pipeline))) == canonical_text(pipeline)
