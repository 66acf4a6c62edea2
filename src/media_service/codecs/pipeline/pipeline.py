"""Pipelines as typed values. Their text form is used only in requests, in the database, and for
child processes."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, Self

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.pipeline import operation_fields as fields
from media_service.codecs.pipeline.text_form import in_canonical_order, parse_text, write_text

# The parameter that names another media, in any operation.
OVERLAY = "media_id"
STREAM = "stream"
# The suffix of the second rendition of an operation, by operation.
COMPANION_SUFFIXES = {"storyboard": ".vtt"}


class Step(NamedTuple):
    """One operation of a pipeline. `parameters` is its message with all defaults. The message is
    shared and must not be modified."""

    name: str
    parameters: Any


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A valid pipeline. `text` is its canonical form, which identifies it. `steps` are in the order
    of the canonical form."""

    text: str
    steps: tuple[Step, ...] = field(compare=False, repr=False)

    @classmethod
    def of(cls, operations: Iterable[Operation]) -> Self:
        """Creates a pipeline from valid operations."""
        ordered = in_canonical_order(operations)
        steps = (Step(*fields.unpack(fields.with_defaults(operation))) for operation in ordered)
        return cls(write_text(ordered), tuple(steps))

    @classmethod
    def of_steps(cls, steps: Iterable[Step]) -> Self:
        return cls.of(fields.pack(*step) for step in steps)

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).digest()

    @property
    def operations(self) -> list[Operation]:
        """The operations as messages, with all defaults."""
        return [fields.pack(*step) for step in self.steps]

    @property
    def format(self) -> str:
        """The name of the format of the result, or an empty string if the pipeline sets none."""
        formats = (step.parameters.format for step in self.steps if step.name == "convert")
        return next((Operation.Format.Name(number) for number in formats if number), "")

    @property
    def overlays(self) -> tuple[str, ...]:
        """The ids of the other media that it reads."""
        found = (
            getattr(step.parameters, OVERLAY)
            for step in self.steps
            if OVERLAY in step.parameters.DESCRIPTOR.fields_by_name
        )
        return tuple(dict.fromkeys(found))

    @property
    def makes_stream(self) -> bool:
        return any(step.name == STREAM for step in self.steps)

    @property
    def companion_suffix(self) -> str:
        """The suffix of the name of a second rendition, or an empty string if there is none."""
        suffixes = (COMPANION_SUFFIXES.get(step.name, "") for step in self.steps)
        return next(filter(None, suffixes), "")


def names_of_job(rendition: str) -> list[str]:
    """The names under which a job may render this rendition: its own, and the one of which it is
    the companion."""
    suffixes = [suffix for suffix in COMPANION_SUFFIXES.values() if rendition.endswith(suffix)]
    return [rendition, *(rendition.removesuffix(suffix) for suffix in suffixes)]


@lru_cache(maxsize=1024)
def stored_pipeline(text: str) -> Pipeline:
    """Returns the pipeline of a canonical text that was validated before."""
    return Pipeline.of(parse_text(text))


@lru_cache(maxsize=1024)
def with_format(pipeline: Pipeline, format_name: str) -> Pipeline:
    """Returns the pipeline with the given format, if it sets none. The added operation does not
    count towards the limit."""
    operations = pipeline.operations
    converts = [operation for operation in operations if operation.HasField("convert")]
    if not converts:
        converts = [Operation(convert=Operation.Convert())]
        operations += converts
    converts[0].convert.format = Operation.Format.Value(format_name)
    return Pipeline.of(operations)
