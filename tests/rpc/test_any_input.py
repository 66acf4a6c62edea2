"""No input of any kind ends as an error of the server: it is served, or refused with a reason."""

import asyncio
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from mediaservice.v1 import (
    media_service_pb2,
    privacy_service_pb2,
    processing_service_pb2,
    upload_service_pb2,
)
from mediaservice.v1.error_reason_pb2 import ErrorReason
from mediaservice.v1.media_pb2 import Media
from mediaservice.v1.upload_pb2 import UploadSpec

from tests.support.any_input import SEED, Requests, generator, methods
from tests.support.media.small_files import jpeg
from tests.support.rpc.credentials import account, api_key
from tests.support.rpc.server import Caller, Refusal, Running, refused
from tests.support.rpc.share_links import share
from tests.support.rpc.sharing import (
    create_group,
    create_organization,
    create_project,
    make_administrator,
)

# A watch sends its first message at once, and waits afterwards.
PATIENCE_SECONDS = 20
# Calls of one method at a time, because many of them wait.
CONCURRENT = 8
REASONS = set(ErrorReason.Value.keys())


async def known_values(admin: Caller) -> dict[str, Any]:
    """One of each thing that a request can name, of an administrator."""
    media_id = (await admin.store(jpeg())).media_id
    started = processing_service_pb2.ProcessMediaRequest(media_id=media_id, ops="flip")
    await create_organization(admin, "acme")
    group = await create_group(admin, "acme")
    project = (await create_project(admin)).project_id
    account_id = await account(admin)
    link = await share(admin, f"media:{media_id}")
    erasing = privacy_service_pb2.EraseUserRequest(user_id="nobody")
    return {
        "media_id": media_id,
        "upload_id": (await admin.create(filename="a.jpg")).upload_id,
        "job_id": (await admin.call(admin.processing.ProcessMedia, started)).job_id,
        "path": "original/a.jpg",
        "token": "a.b.c",
        "part_number": 1,
        "rendition": "",
        "ops": "resize:10x",
        "organization_id": "acme",
        "group_id": group.group_id,
        "member": "user:bob",
        "project_id": project,
        "resource": f"project:{project}",
        "grantee": "user:bob",
        "account": "organization:acme",
        "service_account_id": account_id,
        "api_key_id": (await api_key(admin, account_id)).api_key.api_key_id,
        "share_link_id": link.share_link.share_link_id,
        "secret": link.secret,
        "targets": [f"media:{media_id}"],
        "target": f"media:{media_id}",
        "sha256": "0" * 64,
        "signer": "me",
        "user_id": "nobody",
        "erasure_id": (await admin.call(admin.privacy.EraseUser, erasing)).erasure_id,
    }


async def send(caller: Caller, path: str, method: Any, raw: bytes) -> None:
    """Calls a method with a serialized request, and reads the first response."""
    kind = f"{'stream' if method.client_streaming else 'unary'}_"
    kind += "stream" if method.server_streaming else "unary"
    call = getattr(caller.channel, kind)(path)
    argument = iter([raw]) if method.client_streaming else raw
    running = call(argument, metadata=caller.metadata, timeout=PATIENCE_SECONDS)
    if not method.server_streaming:
        await running
        return
    async for _ in running:
        running.cancel()
        break


def problem(error: grpc.RpcError) -> str:
    """What is wrong with a refusal; empty if nothing is."""
    if error.code() in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}:
        return f"{error.code()}: {error.details()}"
    status = rpc_status.from_call(error)
    if status is None:
        return f"{error.code()} without details: {error.details()}"
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        detail.Unpack(info)
    known = info.reason in REASONS and info.reason != "INTERNAL"
    return "" if known else f"the reason {info.reason!r}"


async def problems_of(caller: Caller, path: str, method: Any, raw: bytes, what: str) -> list[str]:
    try:
        await send(caller, path, method, raw)
    except grpc.RpcError as error:
        found = problem(error)
        return [f"{path} {what}: {found}"] if found else []
    except asyncio.CancelledError:  # of the watch that ended
        pass
    return []


def cases(requests: Requests, method: Any) -> Iterator[tuple[bytes, str]]:
    for raw in requests.garbage(method.input_type):
        yield raw, f"with the bytes {raw[:40]!r}"
    for field, value, raw in requests.cases(method.input_type):
        yield raw, f"with {field} = {str(value)[:40]!r}"


async def test_no_input_is_an_error_of_the_server(service: Running, ann: Caller) -> None:
    await make_administrator(service, "ann")
    requests = Requests(await known_values(ann), generator())
    problems: list[str] = []
    for path, method in methods():
        remaining = cases(requests, method)
        while some := list(islice(remaining, CONCURRENT)):
            found = (problems_of(ann, path, method, raw, what) for raw, what in some)
            problems += chain.from_iterable(await asyncio.gather(*found))
    assert not problems, "\n".join([f"SOAK_SEED={SEED}", *problems])


async def raw(caller: Caller, path: str, request: bytes, token: bool = True) -> Refusal:
    call: Any = caller.channel.unary_unary(path)
    return await refused(call(request, metadata=caller.metadata if token else ()))


LIST, UPDATE = (
    "/mediaservice.v1.MediaService/ListMedia",
    "/mediaservice.v1.MediaService/UpdateMedia",
)


async def test_a_text_that_is_not_utf8_is_named(ann: Caller) -> None:
    listed = media_service_pb2.ListMediaRequest(filter="title=ab").SerializeToString()
    refusal = await raw(ann, LIST, listed.replace(b"ab", b"\xff\xfe"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert (refusal.fields, refusal.headers["x-http-status"]) == (["filter"], "400")
    assert refusal.message == "The request is not valid: filter: must be UTF-8."
    changed = media_service_pb2.UpdateMediaRequest(
        media=Media(tags=["a", "bc"])
    ).SerializeToString()
    assert (await raw(ann, UPDATE, changed.replace(b"bc", b"\xff\xfe"))).fields == ["media.tags"]


async def test_bytes_that_are_not_a_message_are_refused_after_authentication(ann: Caller) -> None:
    for request in (b"\xff", b"\x0a\x05ab", b"\x0b"):
        assert (await raw(ann, LIST, request, token=False)).reason == "TOKEN_MISSING"
        refusal = await raw(ann, LIST, request)
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_REQUEST",
        )
        assert "mediaservice.v1.ListMediaRequest" in refusal.message


async def test_later_messages_of_a_stream_are_decoded_too(ann: Caller) -> None:
    def call() -> None:
        with grpc.insecure_channel(ann.address) as channel:
            write: Any = channel.stream_unary("/mediaservice.v1.UploadService/WriteUpload")
            first = upload_service_pb2.WriteUploadRequest(spec=UploadSpec(filename="a"), data=b"a")
            write(iter([first.SerializeToString(), b"\xff"]), metadata=ann.metadata)

    refusal = await refused(asyncio.to_thread(call))
    assert refusal.reason == "INVALID_REQUEST"


async def test_the_id_in_an_updated_media_must_be_a_uuid(ann: Caller) -> None:
    for media_id in ("", "not-a-uuid", "\0", "a" * 36):
        request = media_service_pb2.UpdateMediaRequest(media=Media(media_id=media_id, title="t"))
        refusal = await refused(ann.call(ann.media.UpdateMedia, request))
        assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", ["media.media_id"])


async def test_a_token_with_unusable_claims_is_refused(service: Running) -> None:
    unusable: list[dict[str, Any]] = [{"org": "a\0"}, {"sub": "\ud800"}, {"exp": 10**400}]
    for claims in unusable:
        caller = await service.caller("ann", **claims)
        request = media_service_pb2.ListMediaRequest()
        refusal = await refused(caller.call(caller.media.ListMedia, request))
        assert refusal.reason == "TOKEN_INVALID"
