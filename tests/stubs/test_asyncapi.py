"""docs/asyncapi.yaml is valid, and describes the messages that the service knows."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from media_service.foreign import exchange, messages
from media_service.foreign.messages import FAILED, PROCESS, PROCESSED, PROGRESS
from tests.support.tools import missing, require_tool

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "media-service"
KNOWN: dict[str, type[messages.Message]] = {
    PROCESS: messages.Process,
    PROGRESS: messages.Progress,
    PROCESSED: messages.Processed,
    FAILED: messages.Failed,
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    modules = CACHE / "node"
    if not (modules / "node_modules/@asyncapi/parser").exists():
        missing("@asyncapi/parser")
    script = Path(__file__).parent / "asyncapi.mjs"
    done = subprocess.run(
        [require_tool("node"), script, modules, ROOT / "docs/asyncapi.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def described(document: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each for each in document["components"]["messages"].values()}


def outline(schema: Any, definitions: dict[str, Any]) -> Any:
    """Of the schema of an object: its fields, which of them are required, and those within."""
    if "$ref" in schema:
        return outline(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:  # or null
        return outline(schema["anyOf"][0], definitions)
    found = {key: schema[key] for key in LIMITS if key in schema}
    if "properties" in schema:
        fields = schema["properties"].items()
        found["fields"] = {name: outline(field, definitions) for name, field in fields}
        found["required"] = sorted(schema.get("required", []))
    if "items" in schema:
        found["items"] = outline(schema["items"], definitions)
    return found


LIMITS = ("maxLength", "pattern", "maximum", "maxItems")


def test_the_document_describes_all_messages(document: dict[str, Any]) -> None:
    assert set(described(document)) == set(KNOWN)
    addresses = {each["address"] for each in document["channels"].values()}
    assert addresses == set(KNOWN)
    bindings = [each["bindings"]["amqp"] for each in document["channels"].values()]
    names = {each["exchange"]["name"] for each in bindings if "exchange" in each}
    assert names == {exchange.REPLIES}


@pytest.mark.parametrize("name", [PROGRESS, PROCESSED, FAILED])
def test_the_fields_and_limits_are_those_of_the_service(
    document: dict[str, Any], name: str
) -> None:
    ours = msgspec.json.schema(KNOWN[name])
    definitions = ours["$defs"]
    assert outline(described(document)[name]["payload"], {}) == outline(ours, definitions)


@pytest.mark.parametrize("name", KNOWN)
def test_its_examples_are_messages(document: dict[str, Any], name: str) -> None:
    (example,) = described(document)[name]["examples"]
    msgspec.convert(example["payload"], KNOWN[name])


def test_a_job_has_the_described_fields(document: dict[str, Any]) -> None:
    ours = msgspec.json.schema(messages.Process)
    found = outline(described(document)[PROCESS]["payload"], {})
    assert set(found["fields"]) == set(outline(ours, ours["$defs"])["fields"])
    assert found["required"] == sorted(found["fields"])
