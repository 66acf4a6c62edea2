"""Schemas of metadata: what they may be, and how much a check of them can cost."""

from collections.abc import Mapping
from typing import Any

import pytest

from media_service.errors import InvalidArgument
from media_service.media.metadata_schema import MetadataSchema

TEXTS = {"properties": {"a": {"items": {"pattern": "^x"}}}}
# Each definition refers twice to the next one, so a check would take 2**12 steps.
DOUBLING = {
    f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]}
    for n in range(12)
} | {"d12": {}}
CHAIN = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(300)} | {"d300": {}}
DEEP: dict[str, Any] = {}
for _ in range(21):
    DEEP = {"not": DEEP}


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"$ref": "http://127.0.0.1:1/schema"}, "only to its own definitions"),
        ({"$ref": "file:///etc/passwd"}, "only to its own definitions"),
        ({"$ref": "#"}, "only to its own definitions"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}, "within itself"),
        ({"$ref": "#/$defs/d0", "$defs": DOUBLING}, "more than 1000 values"),
        ({"$ref": "#/$defs/d0", "$defs": CHAIN}, "more than 20 definitions"),
        ({"title": "a\0b"}, "NUL"),
        ({"properties": {"a\0b": {}}}, "NUL"),
        ({"enum": list(range(1000))}, "more than 1000 values"),
        ({"anyOf": [{"pattern": f"^{n}"} for n in range(21)]}, "more than 20 patterns"),
        (DEEP, "more than 20 levels"),
        ({"description": "x" * (16 << 10)}, "more than 16384 bytes"),
        ({"properties": {"a": {"unevaluatedItems": False}}}, "unevaluatedItems"),
        ({"$id": "https://example.com/a"}, "$id"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "$schema"),
        ({"type": "text"}, "/type"),
        ({"properties": {"a": {"minLength": -1}}}, "/properties/a/minLength"),
        ({"pattern": "(?=a)b"}, "/pattern"),
        ({"pattern": "(((a{99}){99}){99}){99}"}, "/pattern"),
    ],
    ids=str,
)
def test_a_schema_is_valid_and_within_its_limits(schema: Mapping[str, Any], why: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        MetadataSchema(schema)
    assert caught.value.reason == "INVALID_FIELD"
    assert why in caught.value.message


def test_a_check_costs_no_more_than_its_limit() -> None:
    """Also with a pattern for which an engine with backtracking takes exponential time."""
    MetadataSchema(TEXTS).check({"a": ["x"] * 10_000})
    many: dict[str, Any] = {"anyOf": [{"properties": {f"p{n}": {}}} for n in range(100)]}
    with pytest.raises(InvalidArgument, match="too many values"):
        MetadataSchema(many).check({"a": ["x"] * 1000})
    with pytest.raises(InvalidArgument, match="does not match"):
        MetadataSchema({"properties": {"a": {"pattern": "^(a+)+$"}}}).check({"a": "a" * 9999 + "!"})


@pytest.mark.parametrize(
    ("metadata", "path"),
    [
        ({}, "metadata"),
        ({"shoot": {"take": 1.5}}, "metadata.shoot.take"),
        ({"shoot": {"take": 1, "crew": ["ann", 5]}}, "metadata.shoot.crew.1"),
        ({"shoot": {"take": 1}, "more": True}, "metadata"),
    ],
)
def test_an_error_names_the_path_and_not_the_value(metadata: Mapping[str, Any], path: str) -> None:
    schema = MetadataSchema(
        {
            "$defs": {"name": {"type": "string", "maxLength": 10.0}},
            "type": "object",
            "required": ["shoot"],
            "additionalProperties": False,
            "properties": {
                "shoot": {
                    "properties": {
                        "take": {"type": "integer"},
                        "crew": {"items": {"$ref": "#/$defs/name"}},
                    }
                }
            },
        }
    )
    schema.check({"shoot": {"take": 3.0, "crew": ["ann"]}})
    with pytest.raises(InvalidArgument) as caught:
        schema.check(metadata)
    assert caught.value.reason == "METADATA_NOT_ALLOWED"
    ((found, why),) = caught.value.fields
    assert found == path
    assert "1.5" not in why
