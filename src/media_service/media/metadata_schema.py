"""Schemas of metadata: JSON Schema, draft 2020-12, with limits that bound what a check costs.

A schema comes from a manager of a project, and metadata from those who upload, so neither may cost
others much. Patterns are matched in linear time. A schema refers only to its own `$defs`, and never
to itself, so the values that a check can visit are counted before: those of the schema, each time
that they are referred to, times those of the metadata.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError

from media_service.errors import InvalidArgument, Reason
from media_service.media.metadata import has_nul, not_allowed, values_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_BYTES = 16 << 10
MAX_VALUES, MAX_DEPTH = 1000, 20
# To compile one takes up to a millisecond.
MAX_PATTERNS = 20
# Values of the schema times values of the metadata. So many take up to 12 ms.
MAX_STEPS = 100_000
# They name other documents or places, or visit values again.
REFUSED = {
    *("$id", "$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef", "$vocabulary"),
    *("unevaluatedItems", "unevaluatedProperties"),
}
DEFINITIONS = "#/$defs/"
PATTERNS = RegexOptions(size_limit=1 << 18, dfa_size_limit=1 << 18)
MAX_MESSAGE = 300


class MetadataSchema:
    """A schema to check metadata with. Raises InvalidArgument (INVALID_FIELD) if it is none, or not
    within the limits."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        if len(json.dumps(schema, ensure_ascii=False).encode()) > MAX_BYTES:
            raise too_large()
        if any(has_nul(value) for _, value in values_of(schema)):
            raise invalid("contains a NUL character")
        if schema.get("$schema", DIALECT) != DIALECT:
            raise invalid(f"must have no $schema, or {DIALECT}")
        expansion = Expansion(schema)
        self._values = expansion.count(schema)
        if expansion.patterns > MAX_PATTERNS:
            raise invalid(f"has more than {MAX_PATTERNS} patterns")
        try:
            self._validator = Draft202012Validator(
                dict(schema), pattern_options=PATTERNS, offline=True, mask="the value"
            )
        except ValidationError as error:
            at = "/".join(map(str, error.instance_path))
            raise invalid(f"is not valid at /{at}: {error.message[:MAX_MESSAGE]}") from None

    def check(self, metadata: Mapping[str, Any]) -> None:
        """Raises InvalidArgument (METADATA_NOT_ALLOWED), which names the path of what is wrong."""
        if self._values * sum(1 for _ in values_of(metadata)) > MAX_STEPS:
            raise not_allowed("metadata", "has too many values for a schema of this size")
        try:
            self._validator.validate(dict(metadata))
        except ValidationError as error:
            path = ".".join(["metadata", *map(str, error.instance_path)])
            why = f"does not follow the schema of the project: {error.message[:MAX_MESSAGE]}"
            raise not_allowed(path, why) from None


class Expansion:
    """Counts the values of a schema in which each reference is replaced by what it names.
    `patterns`: how many patterns it has, without references."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        found = schema.get("$defs", {})
        self._definitions: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
        self._counts: dict[str, int] = {}
        self.patterns = 0

    def count(self, value: Any, depth: int = 0, within: tuple[str, ...] = ()) -> int:
        """`within`: the definitions that are being counted. Raises InvalidArgument
        (INVALID_FIELD)."""
        if depth > MAX_DEPTH:
            raise invalid(f"has more than {MAX_DEPTH} levels")
        total = 1
        if isinstance(value, Mapping):
            if refused := REFUSED & value.keys():
                raise invalid(f"uses {min(refused)}, which is not supported")
            if isinstance(name := value.get("$ref"), str):
                total += self._referred(name, within)
            self.patterns += patterns_in(value)
        for each in parts_of(value):
            total += self.count(each, depth + 1, within)
        if total > MAX_VALUES:
            raise invalid(f"has more than {MAX_VALUES} values, counting references")
        return total

    def _referred(self, reference: str, within: tuple[str, ...]) -> int:
        name = reference.removeprefix(DEFINITIONS)
        if not reference.startswith(DEFINITIONS) or name not in self._definitions:
            raise invalid(f"may refer only to its own definitions, as {DEFINITIONS}NAME")
        if name in within:
            raise invalid(f"refers to {reference} within itself")
        if len(within) >= MAX_DEPTH:
            raise invalid(f"refers through more than {MAX_DEPTH} definitions")
        if name not in self._counts:
            self._counts[name] = self.count(self._definitions[name], within=(*within, name))
        return self._counts[name]


def patterns_in(schema: Mapping[str, Any]) -> int:
    named = schema.get("patternProperties")
    return ("pattern" in schema) + (len(named) if isinstance(named, Mapping) else 0)


def parts_of(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def too_large() -> InvalidArgument:
    return invalid(f"has more than {MAX_BYTES} bytes as JSON")


def invalid(why: str) -> InvalidArgument:
    path = "policy.metadata_schema"
    return InvalidArgument(Reason.INVALID_FIELD, f"The field {path} {why}.", ((path, why),))
