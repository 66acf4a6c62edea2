"""Checks on every call: token, scope, field rules, the access guard, opaque errors, audit."""

import logging
from datetime import timedelta
from typing import Any

import grpc
import jwt
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.field_mask_pb2 import FieldMask
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from mediaservice.v1 import (
    media_pb2,
    media_service_pb2,
    media_service_pb2_grpc,
    upload_pb2,
    upload_service_pb2,
)
from mediaservice.v1.rule_pb2 import Rule

from media_service.access.access_tokens import TokenVerifier
from media_service.access.link_signer import LinkSigner
from media_service.access.role import Role
from media_service.audit.writer import AuditWriter
from media_service.clock import now
from media_service.credentials.last_use import LastUse
from media_service.credentials.verifier import KeyVerifier
from media_service.db.database import Database
from media_service.ids import new_id
from media_service.rates.drivers.memory import MemoryRates
from media_service.rates.limiter import RateLimiter
from media_service.rates.model import Limit
from media_service.rpc.audit_record import Audit
from media_service.rpc.authentication import Authenticator
from media_service.rpc.client_addresses import ClientAddresses
from media_service.rpc.client_certificates import ClientCertificates
from media_service.rpc.gate import Gate
from media_service.rpc.method_rules import MethodRule, read_rules
from media_service.rpc.running_calls import RunningCalls
from media_service.rpc.server import SERVICES
from media_service.share_links.sessions import LinkSessions
from media_service.watches.tickets import WatchTickets
from tests.support.media.small_files import jpeg
from tests.support.rpc.server import SECRET, Caller, Running, refused, token

LIST = media_service_pb2.ListMediaRequest()
ALL_CALLS = [(service, method) for service in SERVICES for method in service.methods]
RULES = read_rules(SERVICES)


def path(service: Any, method: Any) -> str:
    return f"/{service.full_name}/{method.name}"


@pytest.fixture
def service(shared_service: Running) -> Running:
    return shared_service


CALLS = [call for call in ALL_CALLS if RULES[path(*call)].permission]


async def call_raw(
    channel: grpc.aio.Channel, service: Any, method: Any, metadata: tuple[tuple[str, str], ...]
) -> None:
    """Calls any method with an empty message."""
    kind = f"{'stream' if method.client_streaming else 'unary'}_"
    kind += "stream" if method.server_streaming else "unary"
    call = getattr(channel, kind)(path(service, method))
    argument = iter([b""]) if method.client_streaming else b""
    if method.server_streaming:
        async for _ in call(argument, metadata=metadata):
            pass
    else:
        await call(argument, metadata=metadata)


def test_only_links_public_content_and_health_need_no_token() -> None:
    public = {method.name for service, method in ALL_CALLS if (service, method) not in CALLS}
    links = {"GetSigned", "GetSignedArchive", "PutSigned", "OpenShareLink"}
    assert public == {*links, "GetPublic", "ListOperations", "CheckLiveness", "CheckReadiness"}


@pytest.mark.parametrize(("service_", "method"), CALLS, ids=lambda it: it.name)
async def test_no_method_can_be_called_without_a_token(
    service: Running, service_: Any, method: Any
) -> None:
    async with grpc.aio.insecure_channel(service.address) as channel:
        refusal = await refused(call_raw(channel, service_, method, ()))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_MISSING")
    assert refusal.headers["www-authenticate"] == "Bearer"
    assert refusal.headers["x-http-status"] == "401"


@pytest.mark.parametrize(("service_", "method"), CALLS, ids=lambda it: it.name)
async def test_no_method_can_be_called_with_another_scope(
    service: Running, service_: Any, method: Any
) -> None:
    caller = await service.caller("ann", scope="something.else")
    refusal = await refused(call_raw(caller.channel, service_, method, caller.metadata))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
    assert refusal.metadata["permission"]


@pytest.mark.parametrize("scope", ["media.read", "media.*", "uploads.write media.read", "*"])
async def test_a_scope_that_covers_the_permission_is_accepted(service: Running, scope: str) -> None:
    caller = await service.caller("ann", scope=scope)
    await caller.call(caller.media.ListMedia, LIST)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("Bearer nonsense", "TOKEN_INVALID"),
        ("Basic YW5uOnNlY3JldA==", "TOKEN_MISSING"),
        (f"Bearer {jwt.encode({'sub': 'ann', 'exp': now()}, 'x' * 40)}", "TOKEN_INVALID"),
        (f"Bearer {token('ann', exp=now() - timedelta(hours=1))}", "TOKEN_EXPIRED"),
        (f"Bearer {token('')}", "TOKEN_INVALID"),
        (f"Bearer {jwt.encode({'sub': 'ann'}, SECRET)}", "TOKEN_INVALID"),
        (
            f"Bearer {jwt.encode({'sub': 'ann', 'exp': now()}, '', algorithm='none')}",
            "TOKEN_INVALID",
        ),
    ],
    ids=["none", "a password", "another key", "expired", "nobody's", "endless", "not signed"],
)
async def test_an_invalid_token_is_refused(ann: Caller, header: str, reason: str) -> None:
    refusal = await refused(ann.media.ListMedia(LIST, metadata=(("authorization", header),)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, reason)
    assert header.removeprefix("Bearer ") not in refusal.message


async def test_health_and_reflection_need_no_token(service: Running) -> None:
    async with grpc.aio.insecure_channel(service.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", *(service_.full_name for service_ in SERVICES)):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        async for reply in reflection.ServerReflectionInfo(iter([request])):
            names = {service_.name for service_ in reply.list_services_response.service}
    assert {service_.full_name for service_ in SERVICES} <= names


async def test_reflection_includes_field_rules_that_stubs_omit(service: Running) -> None:
    symbols = ("mediaservice.v1.MediaService", "grpc.health.v1.Health", "buf.validate.FieldRules")
    requests = [
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol) for symbol in symbols
    ]
    async with grpc.aio.insecure_channel(service.address) as channel:
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        shown = [
            FileDescriptorProto.FromString(reply.file_descriptor_response.file_descriptor_proto[0])
            async for reply in reflection.ServerReflectionInfo(iter(requests))
        ]
    assert [file.package for file in shown] == [name.rpartition(".")[0] for name in symbols]
    assert "buf/validate/validate.proto" in shown[0].dependency


class Forgetful(media_service_pb2_grpc.MediaServiceServicer):
    """A servicer with the two mistakes that the gate must detect."""

    async def GetMedia(self, request: Any, context: Any) -> media_pb2.Media:  # noqa: N802
        return media_pb2.Media(title="nobody asked who may see this")

    async def ListMedia(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise ZeroDivisionError("the secret is 42")


async def faulty_stub() -> Any:
    verifier = TokenVerifier(secret=SECRET, jwks="", issuer="", audience="")
    server = grpc.aio.server()
    nowhere = Database("postgresql://nowhere", 2)  # no call here has a ticket or an API key
    keys, certificates = KeyVerifier(nowhere, LastUse(nowhere)), ClientCertificates({}, ())
    sessions = LinkSessions(LinkSigner([SECRET]))
    authenticator = Authenticator(verifier, keys, sessions, certificates)
    tickets = WatchTickets(nowhere)
    off = RateLimiter(MemoryRates(), Limit("caller", None), Limit("address", None))
    audit = Audit(AuditWriter(nowhere, lambda *_: None))
    limit = timedelta(minutes=1)
    calls, addresses = RunningCalls(), ClientAddresses(())
    gate = Gate(server, RULES, authenticator, off, tickets, calls, audit, addresses, limit)
    servicer: Any = Forgetful  # it lacks the other methods
    registering: Any = gate  # it has what generated code calls
    media_service_pb2_grpc.add_MediaServiceServicer_to_server(servicer(), registering)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, media_service_pb2_grpc.MediaServiceStub(
        grpc.aio.insecure_channel(f"127.0.0.1:{port}")
    )


async def test_a_call_that_makes_no_access_decision_fails() -> None:
    server, stub = await faulty_stub()
    metadata = (("authorization", f"Bearer {token('ann')}"),)
    request = media_service_pb2.GetMediaRequest(media_id=new_id())
    refusal = await refused(stub.GetMedia(request, metadata=metadata))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    await server.stop(0)


async def test_an_unexpected_error_is_logged_in_full_and_returned_opaque(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server, stub = await faulty_stub()
    metadata = (("authorization", f"Bearer {token('ann')}"),)
    refusal = await refused(stub.ListMedia(LIST, metadata=metadata))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "secret" not in refusal.message  # the error id is hexadecimal, and may contain 42
    assert refusal.metadata["error_id"] in refusal.message
    assert refusal.metadata["error_id"] in caplog.text
    assert "the secret is 42" in caplog.text
    await server.stop(0)


async def test_audited_calls_are_logged_without_sensitive_data(
    ann: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "media_service.audit")
    media = await ann.store(jpeg(), "secret name.jpg")
    request = media_service_pb2.DeleteMediaRequest(media_id=media.media_id)
    await ann.call(ann.media.DeleteMedia, request)
    log_text = caplog.text
    assert f"action=media.delete user='ann' org='' subject={media.media_id} outcome=OK" in log_text
    assert ann.token not in log_text
    assert "secret name" not in log_text


@pytest.mark.parametrize(
    ("count", "field"), [(10_000, "parts[0].part_number"), (10_001, "parts"), (300_000, "parts")]
)
async def test_only_one_violation_of_an_oversized_list_is_reported(
    ann: Caller, count: int, field: str
) -> None:
    request = upload_service_pb2.CompleteUploadRequest(upload_id=new_id())
    raw = request.SerializeToString() + b"\x1a\x00" * count
    assert upload_service_pb2.CompleteUploadRequest.FromString(raw).parts
    complete: Any = ann.channel.unary_unary("/mediaservice.v1.UploadService/CompleteUpload")
    refusal = await refused(complete(raw, metadata=ann.metadata))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert refusal.fields == [field]


async def test_the_length_of_a_nested_list_is_limited(ann: Caller) -> None:
    media = media_pb2.Media(media_id=new_id(), tags=["tag"] * 101)
    request = media_service_pb2.UpdateMediaRequest(
        media=media, update_mask=FieldMask(paths=["tags"])
    )
    refusal = await refused(ann.call(ann.media.UpdateMedia, request))
    assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", ["media.tags"])
    request.media.tags[:] = []
    request.update_mask.paths.extend(["tags"] * 1000)
    refusal = await refused(ann.call(ann.media.UpdateMedia, request))
    assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", ["update_mask.paths"])


async def test_several_violations_of_a_small_request_are_reported(ann: Caller) -> None:
    request = upload_service_pb2.CompleteUploadRequest(
        upload_id="none", parts=[upload_pb2.Part(part_number=0)] * 2
    )
    refusal = await refused(ann.call(ann.uploads.CompleteUpload, request))
    assert refusal.fields == ["upload_id", "parts[0].part_number", "parts[1].part_number"]
    request.parts.extend([upload_pb2.Part()] * 40)
    refusal = await refused(ann.call(ann.uploads.CompleteUpload, request))
    assert refusal.fields == ["upload_id", *(f"parts[{n}].part_number" for n in range(19))]


async def test_a_huge_field_value_is_truncated_in_the_error_message(ann: Caller) -> None:
    request = media_service_pb2.UpdateMediaRequest(
        media=media_pb2.Media(media_id=new_id()), update_mask=FieldMask(paths=["é" * 1_000_000])
    )
    refusal = await refused(ann.call(ann.media.UpdateMedia, request))
    assert (refusal.reason, refusal.message[-1]) == ("INVALID_UPDATE_MASK", "…")


def test_a_method_without_an_access_rule_is_rejected_at_startup() -> None:
    assert len(RULES) == len(ALL_CALLS)
    health = health_pb2.DESCRIPTOR.services_by_name["Health"]
    with pytest.raises(ValueError, match="set either permission or public"):
        read_rules([health])
    purge = RULES["/mediaservice.v1.MediaService/PurgeMedia"]
    assert purge == MethodRule(
        *("media.purge", "media.purge", "media_id", Role.OWNER, 1, "", False),
        media_service_pb2.PurgeMediaRequest,
        purge.rest,
        Rule.READING_UNSPECIFIED,
        frozenset(),
        batch=False,
    )
