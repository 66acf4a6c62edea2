"""Invariants of every method of the contract."""

import re
from pathlib import Path

import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from mediaservice.v1.rule_pb2 import Rule

from contract.descriptors import Contract
from media_service.errors import Reason
from tests.support.contract_rules import METHODS, rule_of
from tests.support.tests_text import ALL_TESTS

ROOT = Path(__file__).parents[2]
GRPC_ONLY = {
    *("WriteUpload", "Download", "WatchEvents", "WatchJob", "WatchMedia", "WatchUpload"),
    "WatchCollection",
}
each_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


CONTRACT = Contract.current()


@each_method
def test_every_method_has_a_rest_mapping_but_the_grpc_streams(method: MethodDescriptor) -> None:
    mapped = method.GetOptions().HasExtension(annotations_pb2.http)
    assert mapped == (method.name not in GRPC_ONLY)


PERMISSIONS = {
    *("media.read", "media.write", "media.delete", "media.purge"),
    *("uploads.read", "uploads.write", "jobs.read", "jobs.write", "watches.write"),
    *("credentials.read", "credentials.write", "audit.read"),
    *("access.read", "access.write", "quotas.read", "quotas.write"),
    *("policies.read", "policies.write"),
    *("users.erase", "users.export"),
    *("links.read", "links.write"),
    *("events.read", "webhooks.read", "webhooks.write"),
}
ACTIONS = {
    *("collections.create", "collections.update", "collections.delete"),
    *("collections.add_media", "collections.remove_media", "collections.transfer"),
    *("media.copy", "media.update", "media.delete", "media.undelete", "media.purge", "media.sign"),
    *("renditions.create", "renditions.delete", "versions.restore", "versions.delete"),
    *("media.merge", "media.empty_trash", "duplicates.decide"),
    *("uploads.create", "uploads.write", "uploads.sign", "uploads.complete", "uploads.abort"),
    *("jobs.cancel", "jobs.retry", "watches.create"),
    *("service_accounts.create", "service_accounts.delete"),
    *("api_keys.create", "api_keys.revoke", "audit.export"),
    *(
        "organizations.create",
        "organizations.delete",
        "organizations.update",
        "grants.set",
        "grants.delete",
        "media.transfer",
    ),
    *("projects.create", "projects.update", "projects.transfer", "projects.delete"),
    *("quotas.set", "quotas.recalculate", "users.erase", "users.export"),
    *("policies.set", "files.block", "files.unblock"),
    *("share_links.create", "share_links.open", "share_links.revoke", "signed_urls.revoke"),
    "share_links.update",
    *("archives.create", "webhooks.create", "webhooks.delete"),
    *("webhooks.update", "webhooks.rotate", "webhooks.redeliver"),
    *("groups.create", "groups.delete", "groups.add_member", "groups.remove_member"),
}


@each_method
def test_permissions_and_actions_are_named_resource_dot_verb(method: MethodDescriptor) -> None:
    rule = rule_of(method)
    assert rule.permission in PERMISSIONS or (rule.public and not rule.permission)
    assert rule.audit in ACTIONS or not rule.audit
    assert rule.cost >= (-1 if rule.public else 0)
    if rule.cost_per:
        assert method.input_type.fields_by_name[rule.cost_per].is_repeated


@each_method
def test_tickets_are_accepted_where_the_request_has_a_ticket(method: MethodDescriptor) -> None:
    assert rule_of(method).ticket is ("ticket" in method.input_type.fields_by_name)


@each_method
def test_links_read_only_what_is_read_and_have_no_other_permission(
    method: MethodDescriptor,
) -> None:
    rule = rule_of(method)
    assert rule.link != Rule.READ_LINKS or rule.permission == "media.read"
    assert rule.link != Rule.UPLOAD_LINKS or rule.permission in {"uploads.read", "uploads.write"}


def test_every_permission_is_required_by_a_method() -> None:
    assert {rule_of(method).permission for method in METHODS} - {""} == PERMISSIONS


@each_method
def test_a_role_is_required_on_a_resource_that_the_request_names(method: MethodDescriptor) -> None:
    rule = rule_of(method)
    assert bool(rule.resource) == (rule.minimum_role != Rule.ROLE_UNSPECIFIED)
    assert not (rule.public and rule.resource)
    if rule.resource:
        *parents, last = rule.resource.split(".")
        message: Descriptor | None = method.input_type
        for name in parents:
            assert message is not None
            message = message.fields_by_name[name].message_type
        assert message is not None
        assert message.fields_by_name[last].type == FieldDescriptor.TYPE_STRING
        # What others do, and who else has access, is for those who manage it.
        managed = rule.permission in {"audit.read", "links.read", "webhooks.read"}
        managed = managed or method.name == "ListGrants"
        # So is what was replaced, for those who may replace it.
        managed = managed or method.name in {"ListVersions", "GetVersion"}
        # A copy changes nothing of what is copied.
        reads = (rule.permission.endswith(".read") and not managed) or method.name == "CopyMedia"
        assert (rule.minimum_role == Rule.VIEWER) == reads


@each_method
def test_every_method_documents_permission_errors_and_retries(method: MethodDescriptor) -> None:
    text = " ".join(CONTRACT.comment(method.full_name).text.split())
    rule = rule_of(method)
    assert f"Permission: {rule.permission}" in text if rule.permission else "Public" in text
    assert "Errors: " in text
    assert re.search(r"retr(y|ies)|After a (any )?break", text), text


@each_method
def test_reasons_named_in_comments_exist(method: MethodDescriptor) -> None:
    text = re.sub(
        r"\$[A-Z_]+|[A-Z]+\)|\b(FULL|BASIC|HEAD|PUBLIC_ORIGINAL|VERIFYING|FINISHED|FAILED)\b",
        "",
        CONTRACT.comment(method.full_name).text,
    )
    named = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", text)) - {"OUT_OF_RANGE"}
    assert named <= set(Reason)


@each_method
def test_every_method_is_tested(method: MethodDescriptor) -> None:
    assert re.search(rf"\b{method.name}\b", ALL_TESTS)
