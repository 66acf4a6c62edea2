"""All ways in which a file arrives in a project."""

from collections.abc import Awaitable, Callable
from typing import Any

from mediaservice.v1 import upload_pb2, upload_service_pb2

from tests.support.rpc.parts import complete, put, put_signed, sign
from tests.support.rpc.server import Caller
from tests.support.rpc.sharing import store_in

Send = Callable[[Caller, str, bytes], Awaitable[Any]]


async def in_one_message(caller: Caller, project: str, data: bytes) -> Any:
    await store_in(caller, project, data)


async def in_a_stream(caller: Caller, project: str, data: bytes) -> Any:
    messages = [
        upload_service_pb2.WriteUploadRequest(data=data[:100]),
        upload_service_pb2.WriteUploadRequest(data=data[100:], offset=100, finish=True),
    ]
    messages[0].spec.project_id = project
    await caller.write(messages)


async def in_a_session(caller: Caller, project: str, data: bytes) -> Any:
    upload = await caller.create(project_id=project)
    message = upload_service_pb2.WriteUploadRequest(
        upload_id=upload.upload_id, data=data, finish=True
    )
    await caller.write([message])


async def in_parts(caller: Caller, project: str, data: bytes) -> Any:
    upload = await caller.create(project_id=project)
    await put(caller, upload.upload_id, 1, data)
    await complete(caller, upload.upload_id)


async def by_a_signed_url(caller: Caller, project: str, data: bytes) -> Any:
    upload = await caller.create(project_id=project)
    signed = await sign(caller, upload.upload_id, upload_pb2.Part(part_number=1))
    await put_signed(caller, signed.parts[0].url.rpartition("/")[2], data)
    await complete(caller, upload.upload_id)


async def in_a_body(caller: Caller, project: str, data: bytes) -> Any:
    message = upload_service_pb2.UploadMediaRequest()
    message.spec.project_id = project
    message.body.data = data
    await caller.stream("UploadMedia", [message])


WAYS: list[Send] = [
    *(in_one_message, in_a_stream, in_a_session),
    *(in_parts, by_a_signed_url, in_a_body),
]
