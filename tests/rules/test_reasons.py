"""Every reason of an error is documented, raised as documented, and tested."""

import re

import grpc
import pytest
from google.rpc import code_pb2
from mediaservice.v1 import error_reason_pb2
from mediaservice.v1.error_reason_pb2 import ErrorReason

from contract.descriptors import Contract, prose
from media_service.errors import MediaError, Reason
from media_service.rpc.error_status import CODES, RULES
from tests.support.raised_errors import ROOT, client_reasons, gateway_reasons, raises
from tests.support.tests_text import ALL_TESTS

RAISES = raises()
# Errors created earlier, in a child process or by another job, and limits whose reason depends on
# the class of work.
PASSED_ON = {
    "src/media_service/codecs/image/libvips_errors.py",
    "src/media_service/codecs/sandbox/exit_cause.py",
    "src/media_service/codecs/sandbox/process.py",
    "src/media_service/renditions/streams/packager.py",
}
GATEWAY = gateway_reasons()
CLIENT = client_reasons(set(Reason))
COMMENTS = Contract.current()
each_reason = pytest.mark.parametrize("reason", list(Reason))


def test_every_error_has_the_class_and_exactly_the_metadata_of_its_reason() -> None:
    for made in RAISES:
        if not made.reason:
            assert made.where.partition(":")[0] in PASSED_ON, made
            continue
        rule = RULES[made.reason]
        assert made.kind.__name__ == camel(code_pb2.Code.Name(rule.code)), made
        assert made.keys == set(rule.metadata), made


def camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def test_each_code_has_one_error_class() -> None:
    codes = {RULES[made.reason].code for made in RAISES if made.reason}
    kinds = {kind.__name__ for kind in MediaError.__subclasses__()}
    assert kinds == {camel(code_pb2.Code.Name(code)) for code in codes}


@each_reason
def test_every_reason_is_raised(reason: Reason) -> None:
    assert reason in {made.reason for made in RAISES} | GATEWAY | CLIENT | limits()


def limits() -> set[str]:
    """Reasons that child processes are told to report."""
    text = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    return set(re.findall(r"exceeded(?:: Reason)? ?= ?Reason\.(\w+)", text))


@each_reason
def test_every_reason_is_tested(reason: Reason) -> None:
    assert f'"{reason}"' in ALL_TESTS or f"Reason.{reason}" in ALL_TESTS


@each_reason
def test_the_comment_of_a_reason_says_when_it_occurs_and_explains_its_metadata(
    reason: Reason,
) -> None:
    comment = prose(COMMENTS.comment(f"{ErrorReason.Value.DESCRIPTOR.full_name}.{reason}").text)
    assert comment.endswith(".")
    for key in RULES[reason].metadata:
        assert f"`{key}`" in comment, key


@each_reason
def test_the_codes_of_every_reason_are_consistent(reason: Reason) -> None:
    rule = RULES[reason]
    assert CODES[rule.code] is not grpc.StatusCode.OK
    assert (rule.http_status in range(400, 600)) == (
        reason not in {"SOURCE_CHANGED", "CONTENT_CHANGED"}
    )
    if rule.code == code_pb2.UNAVAILABLE:
        assert (rule.http_status, rule.retriable) == (503, True)


def test_metadata_keys_are_named_like_fields() -> None:
    keys = {key for reason in Reason for key in RULES[reason].metadata}
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", key) for key in keys)
    assert not {key for key in keys if re.search(r"(^|_)(size|bytes)$", key)} - {
        key for key in keys if key.endswith("_size_bytes") or key == "size_bytes"
    }


def test_the_zero_value_has_no_error_rule() -> None:
    zero = ErrorReason.Value.DESCRIPTOR.values_by_number[0]
    assert not zero.GetOptions().HasExtension(error_reason_pb2.error)
