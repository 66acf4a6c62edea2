"""What holds for every method of the contract, and for every error."""

import ast
import re
from pathlib import Path

import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor
from mediaservice.v1 import rule_pb2

from media_service import errors
from media_service.contract import descriptor_set
from media_service.errors import MediaError, Reason
from media_service.rpc.server import SERVICES
from media_service.rpc.status import BY_REASON, FAULTS, INTERNAL, TABLE

ROOT = Path(__file__).parents[2]
METHODS = [method for service in SERVICES for method in service.methods]
GRPC_ONLY = {"WriteUpload", "Download"}
each_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
each_reason = pytest.mark.parametrize("reason", list(Reason))


def comments() -> dict[str, str]:
    """The comment of every method, by full name, from the descriptor set."""
    found = {}
    for file in descriptor_set().file:
        for place in file.source_code_info.location:
            if len(place.path) == 4 and place.path[0] == 6 and place.path[2] == 2:
                service = file.service[place.path[1]]
                method = service.method[place.path[3]]
                name = f"{file.package}.{service.name}.{method.name}"
                found[name] = place.leading_comments
    return found


COMMENTS = comments()


def all_tests() -> str:
    return "\n".join(path.read_text() for path in (ROOT / "tests").glob("*/test_*.py"))


ALL_TESTS = all_tests()


@each_method
def test_every_method_has_a_rest_mapping_but_the_grpc_streams(method: MethodDescriptor) -> None:
    mapped = method.GetOptions().HasExtension(annotations_pb2.http)
    assert mapped == (method.name not in GRPC_ONLY)


@each_method
def test_every_method_says_permission_errors_and_whether_to_retry(method: MethodDescriptor) -> None:
    text = " ".join(COMMENTS[method.full_name].split())
    rule = method.GetOptions().Extensions[rule_pb2.rule]
    assert f"Permission: {rule.permission}" in text if rule.permission else "Public" in text
    assert "Errors: " in text
    assert re.search(r"retr(y|ies)|After a (any )?break", text), text


@each_method
def test_the_reasons_in_a_comment_are_real(method: MethodDescriptor) -> None:
    text = re.sub(
        r"[A-Z]+\)|\b(FULL|BASIC|HEAD|VERIFYING|FINISHED|FAILED)\b", "", COMMENTS[method.full_name]
    )
    named = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", text)) - {"OUT_OF_RANGE"}
    assert named <= set(Reason)


@each_method
def test_every_method_is_tested(method: MethodDescriptor) -> None:
    assert re.search(rf"\b{method.name}\b", ALL_TESTS)


@each_reason
def test_every_reason_is_tested(reason: Reason) -> None:
    assert f'"{reason}"' in ALL_TESTS or f"Reason.{reason}" in ALL_TESTS


def documented() -> dict[str, tuple[str, str]]:
    """gRPC code and HTTP status of each reason, as docs/errors.md has them."""
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \| (\d+) \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE
    )
    return {reason: (code, status) for reason, code, status in rows}


DOCUMENTED = documented()


def raised() -> dict[str, set[type[MediaError]]]:
    """Which error classes each reason is raised with, read from the sources."""
    found: dict[str, set[type[MediaError]]] = {}
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and node.args):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            kind, reason = getattr(errors, name, None), node.args[0]
            if isinstance(kind, type) and issubclass(kind, MediaError):
                text = ast.unparse(reason)
                if text.startswith("Reason."):
                    found.setdefault(text.removeprefix("Reason."), set()).add(kind)
    return found


RAISED = raised()


@each_reason
def test_every_reason_is_documented_with_its_codes(reason: Reason) -> None:
    assert reason in DOCUMENTED, f"add {reason} to docs/errors.md"
    for kind in RAISED.get(reason, ()):
        code, status = TABLE.get(kind, INTERNAL)
        status = BY_REASON.get(reason, status)
        assert DOCUMENTED[reason] == (code.name, str(status)), kind


def test_nothing_is_documented_that_cannot_happen() -> None:
    envoys = {"ROUTE_NOT_FOUND", "METHOD_NOT_ALLOWED", "INVALID_REQUEST", "UPSTREAM_UNAVAILABLE"}
    assert set(DOCUMENTED) == set(Reason) | envoys
    assert set(RAISED) <= set(Reason)


def test_what_ended_without_an_answer_has_the_code_of_its_reason() -> None:
    for code, reasons in FAULTS.items():
        for reason in reasons:
            assert DOCUMENTED[reason][0] == code.name, reason


def test_every_error_class_has_its_codes() -> None:
    assert set(TABLE) == set(MediaError.__subclasses__())
