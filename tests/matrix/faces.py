"""The two faces of the service. Each sends a request of any method and returns the answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
import httpx
from google.api import annotations_pb2
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.json_format import MessageToDict, MessageToJson
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from media_service.rpc.error_status import RULES
from tests.matrix.answers import Answer, stable
from tests.support.rpc.server import text_of

HTTP_BODY = "google.api.HttpBody"
BATCHED = '"results"'


class Grpc:
    """Calls over gRPC."""

    def __init__(self, address: str, channel: grpc.aio.Channel, blocking: grpc.Channel) -> None:
        self._channel = channel
        # grpc.aio may lose the status of a call that the server ends during a write.
        self._blocking = blocking

    @staticmethod
    def has(_: MethodDescriptor) -> bool:
        return True

    async def call(
        self, method: MethodDescriptor, request: Message, token: str, headers: Mapping[str, str]
    ) -> Answer:
        metadata = tuple(headers.items())
        if token:
            metadata += (("authorization", f"Bearer {token}"),)
        path = f"/{method.containing_service.full_name}/{method.name}"
        response = GetMessageClass(method.output_type).FromString
        serialize = type(request).SerializeToString
        try:
            if method.client_streaming:
                stub = self._blocking.stream_unary(path, serialize, response)
                found = await asyncio.to_thread(stub, iter([request]), metadata=metadata)
                return answer_of(found)
            if not method.server_streaming:
                unary = self._channel.unary_unary(path, serialize, response)
                return answer_of(await unary(request, metadata=metadata))
            call = self._channel.unary_stream(path, serialize, response)(request, metadata=metadata)
            async for message in call:
                call.cancel()
                return answer_of(message)
            return Answer("", "OK", "")
        except grpc.RpcError as error:
            return refusal_of(error)


def answer_of(message: Any) -> Answer:
    if message.DESCRIPTOR.full_name == HTTP_BODY:
        return Answer("", "OK", repr(message.data))
    results = getattr(message, "results", ())
    reason = reason_of(results[0].error) if results else ""
    return Answer(reason, "OK", MessageToJson(message))


def refusal_of(error: grpc.RpcError) -> Answer:
    status = rpc_status.from_call(error)
    assert status is not None, f"no details: {error!r}"
    reason = reason_of(status)
    assert status.code == RULES[reason].code
    trailers = stable(text_of(error.trailing_metadata()).items())
    return Answer(reason, error.code().name, f"{MessageToJson(status)} {trailers}")


def reason_of(status: Any) -> str:
    info = error_details_pb2.ErrorInfo()
    return str(info.reason) if any(detail.Unpack(info) for detail in status.details) else ""


class Rest:
    """Calls over REST, through Envoy."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @staticmethod
    def has(method: MethodDescriptor) -> bool:
        return bool(http_rule(method).WhichOneof("pattern"))

    async def call(
        self, method: MethodDescriptor, request: Message, token: str, headers: Mapping[str, str]
    ) -> Answer:
        sent = dict(headers)
        if token:
            sent["authorization"] = f"Bearer {token}"
        verb, url, options = http_request(method, request)
        sent |= options.pop("headers", {})
        async with self._client.stream(verb, url, headers=sent, **options) as answer:
            body = b""
            async for piece in answer.aiter_bytes():
                body += piece
                if answer.headers.get("content-type") == "text/event-stream":
                    break  # it has no end
        if answer.is_success:
            parsed = json.loads(body) if BATCHED in (text := body.decode("latin-1")) else {}
            failed = [result["error"] for result in parsed.get("results", []) if "error" in result]
            return Answer(json_reason(failed[0]) if failed else "", "200", text)
        reason = json_reason(json.loads(body))
        assert answer.status_code == RULES[reason].http_status, reason
        whole = f"{body.decode()} {stable(answer.headers.items())}"
        return Answer(reason, str(answer.status_code), whole)


def json_reason(status: Mapping[str, Any]) -> str:
    (reason,) = [detail["reason"] for detail in status["details"] if "reason" in detail]
    assert reason in RULES
    return str(reason)


def http_rule(method: MethodDescriptor) -> Any:
    return method.GetOptions().Extensions[annotations_pb2.http]


def http_request(method: MethodDescriptor, request: Message) -> tuple[str, str, dict[str, Any]]:
    """The verb, the path, and the arguments of the client: query, body and headers."""
    rule = http_rule(method)
    verb = rule.WhichOneof("pattern")
    path, fields = getattr(rule, verb), MessageToDict(request)
    for segment in [part.strip("{}").partition("=")[0] for part in variables(path)]:
        value = taken(fields, [json_name(name) for name in segment.split(".")])
        path = path.replace(f"{{{segment}}}", value).replace(f"{{{segment}=**}}", value)
    options: dict[str, Any] = {}
    if rule.body == "*":
        options["json"] = fields
    elif rule.body:
        field = method.input_type.fields_by_name[rule.body]
        body = fields.pop(field.json_name, {})
        if is_bytes(field):
            content = getattr(request, rule.body)
            options["content"] = content.data
            options["headers"] = {"content-type": content.content_type}
        else:
            options["json"] = body
    if fields and rule.body != "*":
        options["params"] = flat(fields)
    return verb.upper(), path, options


def is_bytes(field: FieldDescriptor) -> bool:
    return bool(field.message_type and field.message_type.full_name == HTTP_BODY)


def variables(path: str) -> list[str]:
    return ["{" + part.partition("}")[0] + "}" for part in path.split("{")[1:]]


def json_name(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def taken(fields: dict[str, Any], path: list[str]) -> str:
    for name in path[:-1]:
        fields = fields[name]
    return str(fields.pop(path[-1]))


def flat(fields: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """The fields as parameters of a query."""
    found = []
    for name, value in fields.items():
        if isinstance(value, dict):
            found += flat(value, f"{before}{name}.")
        else:
            found += [(before + name, str(each)) for each in as_list(value)]
    return found


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


Face = Grpc | Rest


@asynccontextmanager
async def grpc_face(address: str) -> AsyncIterator[Grpc]:
    async with grpc.aio.insecure_channel(address) as channel:
        with grpc.insecure_channel(address) as blocking:
            yield Grpc(address, channel, blocking)
