"""What the audit log records of a call. The gate begins a record with each call, and ends it."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from ipaddress import ip_address
from typing import Any, TypeAlias
from urllib.parse import unquote

import grpc
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from mediaservice.v1.rule_pb2 import Rule

from media_service.access.owner import Owner
from media_service.access.principal import Principal
from media_service.audit.writer import AuditWriter
from media_service.db.audit_entry import (
    AuditedCall,
    AuditEntry,
    Category,
    Origin,
    category_of,
    current_call,
)
from media_service.errors import MediaError, PermissionDenied, Unauthenticated
from media_service.rpc.caller import current_principal
from media_service.rpc.client_addresses import current_address
from media_service.rpc.http import request_headers
from media_service.rpc.method_rules import MethodRule

audit_log = logging.getLogger("media_service.audit")

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

# How many resources a line of the audit log names: as many as a batch may have.
MAX_SUBJECTS = 1000
MAX_USER_AGENT = 300
MAX_RESOURCE = 300
REQUEST_ID = re.compile(r"[\w.:-]{1,100}", re.ASCII)
# They say that a resource does not exist, or that the caller may not see it.
HIDING = {
    *("MEDIA_NOT_FOUND", "UPLOAD_NOT_FOUND", "JOB_NOT_FOUND", "PROJECT_NOT_FOUND"),
    *("ORGANIZATION_NOT_FOUND", "GROUP_NOT_FOUND", "RESOURCE_NOT_FOUND"),
    *("SERVICE_ACCOUNT_NOT_FOUND", "API_KEY_NOT_FOUND", "SHARE_LINK_NOT_FOUND"),
}
REFUSALS = {code_pb2.PERMISSION_DENIED, code_pb2.UNAUTHENTICATED}
# What a message may name, besides jobs, uploads and media.
NAMED = {
    "service_account_id": "",
    "api_key_id": "",
    "share_link_id": "",
    "project_id": "project:",
    "group_id": "group:",
    "organization_id": "organization:",
}
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class Audit:
    """Records calls with a writer."""

    def __init__(self, writer: AuditWriter) -> None:
        self._writer = writer

    async def until_writable(self) -> None:
        """Raises Unavailable (DATABASE_UNAVAILABLE) if a call could not be recorded."""
        if self._writer.full:
            await self._writer.room()

    def begin(self, rule: MethodRule, context: Context) -> "Record":
        call = AuditedCall(rule.audit, partial(origin_of, context, current_address.get()))
        current_call.set(call)
        return Record(rule, call, self._writer)


@dataclass(slots=True)
class Record:
    """One call: who did what to which resource, with which outcome."""

    rule: MethodRule
    call: AuditedCall
    writer: AuditWriter
    subject: str = "-"
    outcome: str = "OK"
    denied: bool = False
    # Of a batch: its items, and those that were refused, with the reasons.
    items: Sequence[Message] = ()
    refused: list[tuple[Message, str]] = field(default_factory=list)

    def admit(self, principal: Principal) -> None:
        """Notes who calls."""
        self.call.caller = principal.owner
        self.call.credential_id = principal.api_key_id

    def note(self, message: Any) -> None:
        """Records the resource that a message names; for a batch, those of its items."""
        if not isinstance(message, Message):
            return
        if self.rule.batch:
            self._note_batch(message)
        if named := subject_of(message):
            self.call.media_id = uuid_in(message, "media_id") or self.call.media_id
            self.call.resource_id = resource_of(message) or self.call.resource_id
        if self.rule.audit:
            self.subject = named or ",".join(subjects_of_items(message)) or self.subject

    def _note_batch(self, message: Message) -> None:
        if isinstance(message, self.rule.request):
            if self.rule.cost_per:
                self.items = getattr(message, self.rule.cost_per)
            return
        results = message.results  # type: ignore[attr-defined]
        self.items = self.items or results  # of a batch of ids, each result names its media
        for item, result in zip(self.items, results, strict=False):
            if result.HasField("error") and (reason := denial_in(result.error)):
                self.refused.append((item, reason))

    def fail(self, error: MediaError) -> None:
        self.outcome = error.reason
        hidden = bool(self.rule.permission) and error.reason in HIDING
        self.denied = isinstance(error, Unauthenticated | PermissionDenied) or hidden
        if self.denied and not self.call.media_id:
            named = error.metadata.get("media_id", "")
            self.call.media_id = named if UUID.fullmatch(named) else ""

    def write(self) -> None:
        """Ends the record."""
        if self.rule.audit:
            self._log()
        if entry := self._entry():
            self.writer.add(entry)
        if self.refused:
            self._write_refused(self.call.origin())

    def _write_refused(self, origin: Origin) -> None:
        for item, reason in self.refused:
            self.writer.add(
                AuditEntry(
                    category=Category.DENIAL,
                    action=self.rule.action,
                    origin=origin,
                    media_id=uuid_in(item, "media_id"),
                    resource_id=resource_of(item),
                    outcome=reason,
                )
            )

    def _entry(self) -> AuditEntry | None:
        """None: the call is recorded already, or is not of a kind that is recorded."""
        call, category, action = self.call, Category.DENIAL, self.rule.action
        if not self.denied:
            if call.read and self.rule.reading:
                category = self._reading(call.read)
                action = f"media.{category.lower()}"
            elif call.action and not call.recorded and not self.items:
                category = category_of(call.action)
                action = call.action
            else:
                return None
        return AuditEntry(
            category=category,
            action=action,
            origin=call.origin(),
            media_id=call.media_id,
            version=call.version,
            resource_id=call.resource_id,
            outcome=self.outcome,
            counted=call.counted and not self.denied,
            bytes=call.bytes,
        )

    def _reading(self, found: Category) -> Category:
        return Category.VIEW if self.rule.reading == Rule.VIEW else found

    def _log(self) -> None:
        principal = current_principal.get(None)
        audit_log.info(
            "action=%s user=%r org=%r subject=%s outcome=%s",
            self.rule.audit,
            principal.subject if principal else "",
            principal.org_id if principal else "",
            self.subject,
            self.outcome,
        )


def origin_of(context: Context, client_address: str, call: AuditedCall) -> Origin:
    headers = request_headers(context)
    address = ip_address_in(client_address)
    request_id = headers.get("x-request-id", "")
    agent = "".join(c for c in headers.get("user-agent", "") if c.isprintable())
    caller = call.caller or Owner("anonymous", address)
    return Origin(
        actor_type=caller.type,
        actor_id=caller.id,
        org_id=caller.org_id,
        credential_id=call.credential_id,
        request_id=request_id if REQUEST_ID.fullmatch(request_id) else "",
        address=address,
        user_agent=agent[:MAX_USER_AGENT],
    )


def ip_address_in(text: str) -> str:
    """The address in gRPC's name of a peer, such as "ipv6:%5B::1%5D", or in a header. Empty if it
    is none, as that of a Unix socket."""
    try:
        address = ip_address(re.sub(r"^ipv[46]:", "", unquote(text)).strip("[]"))
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)


def uuid_in(message: Message, name: str) -> str:
    """The id in a field of a message, if it is one."""
    if name not in string_fields(message.DESCRIPTOR):
        return ""
    value = getattr(message, name)
    return value.lower() if value and UUID.fullmatch(value) else ""


def subject_of(message: Message) -> str:
    """The id of the message's resource; empty if it names none."""
    for name in string_fields(message.DESCRIPTOR):
        value: str = getattr(message, name)
        if value and value.isprintable():
            return value
    return subject_of_result(message)


def resource_of(message: Message) -> str:
    """What a message names besides the media: the id of a job, an upload, a service account or an
    API key, or a resource such as "project:ID"."""
    found = uuid_in(message, "job_id") or uuid_in(message, "upload_id")
    if found or uuid_in(message, "media_id"):
        return found
    for name in string_fields(message.DESCRIPTOR):
        value: str = getattr(message, name)
        if name in NAMED and value and value.isprintable():
            return f"{NAMED[name]}{value}"[:MAX_RESOURCE]
    return ""


@cache
def string_fields(message: Descriptor) -> tuple[str, ...]:
    """The fields of a message that may name its resource, the most specific one first. To ask a
    message for a field that it does not have would cost an exception at each call."""
    names = ("job_id", "upload_id", "media_id", *NAMED)
    fields = (message.fields_by_name.get(name) for name in names)
    return tuple(
        field.name
        for field in fields
        if field and field.type == field.TYPE_STRING and not field.is_repeated
    )


def denial_in(error: status_pb2.Status) -> str:
    """The reason of an error of an item, if the item was refused or is hidden."""
    info = error_details_pb2.ErrorInfo()
    for detail in error.details:
        if detail.Unpack(info):
            return info.reason if error.code in REFUSALS or info.reason in HIDING else ""
    return ""


def subject_of_result(message: Message) -> str:
    """The id in a result of a batch."""
    oneof = message.DESCRIPTOR.oneofs_by_name.get("result")
    name = message.WhichOneof("result") if oneof else None
    return subject_of(getattr(message, name)) if name else ""


def subjects_of_items(message: Message) -> list[str]:
    """The distinct ids in the lists of a message."""
    lists = [
        value
        for field, value in message.ListFields()
        if field.is_repeated and field.message_type and not isinstance(value, Mapping)
    ]
    named = (subject_of(item) for items in lists for item in items[:MAX_SUBJECTS])
    return list(dict.fromkeys(filter(None, named)))[:MAX_SUBJECTS]
