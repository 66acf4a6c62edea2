"""All ways in which a file arrives."""

from collections.abc import Awaitable, Callable
from typing import Any

from mediaservice.v1 import upload_pb2, upload_service_pb2

from tests.support.rpc.parts import complete, put, put_signed, sign
from tests.support.rpc.server import Caller

# Sends a file with these fields of its spec.
Send = Callable[..., Awaitable[Any]]


async def in_one_message(caller: Caller, data: bytes, **spec: Any) -> Any:
    message = upload_service_pb2.WriteUploadRequest(data=data, finish=True)
    message.spec.MergeFrom(upload_pb2.UploadSpec(**spec))
    message.spec.filename = "a.jpg"
    await caller.write([message])


async def in_a_stream(caller: Caller, data: bytes, **spec: Any) -> Any:
    messages = [
        upload_service_pb2.WriteUploadRequest(data=data[:100]),
        upload_service_pb2.WriteUploadRequest(data=data[100:], offset=100, finish=True),
    ]
    messages[0].spec.MergeFrom(upload_pb2.UploadSpec(**spec))
    await caller.write(messages)


async def in_a_session(caller: Caller, data: bytes, **spec: Any) -> Any:
    upload = await caller.create(**spec)
    message = upload_service_pb2.WriteUploadRequest(
        upload_id=upload.upload_id, data=data, finish=True
    )
    await caller.write([message])


async def in_parts(caller: Caller, data: bytes, **spec: Any) -> Any:
    upload = await caller.create(**spec)
    await put(caller, upload.upload_id, 1, data)
    await complete(caller, upload.upload_id)


async def by_a_signed_url(caller: Caller, data: bytes, **spec: Any) -> Any:
    upload = await caller.create(**spec)
    signed = await sign(caller, upload.upload_id, upload_pb2.Part(part_number=1))
    await put_signed(caller, signed.parts[0].url.rpartition("/")[2], data)
    await complete(caller, upload.upload_id)


async def in_a_body(caller: Caller, data: bytes, **spec: Any) -> Any:
    message = upload_service_pb2.UploadMediaRequest(spec=upload_pb2.UploadSpec(**spec))
    message.body.data = data
    await caller.stream("UploadMedia", [message])


async def in_a_batch(caller: Caller, data: bytes, **spec: Any) -> Any:
    request = upload_service_pb2.BatchCreateUploadsRequest(atomic=True)
    request.requests.add(spec=upload_pb2.UploadSpec(**spec))
    created = await caller.call(caller.uploads.BatchCreateUploads, request)
    upload_id = created.results[0].upload.upload_id
    await put(caller, upload_id, 1, data)
    await complete(caller, upload_id)


WAYS: list[Send] = [
    *(in_one_message, in_a_stream, in_a_session),
    *(in_parts, by_a_signed_url, in_a_body, in_a_batch),
]
