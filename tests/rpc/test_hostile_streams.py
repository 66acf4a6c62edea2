"""Malicious streams do no lasting harm to the service."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any

import grpc
import pytest
from google.api import httpbody_pb2
from mediaservice.v1 import checksums_pb2, upload_pb2, upload_service_pb2

from tests.support.media.small_files import jpeg
from tests.support.rpc.server import Caller, Running, Start, refused
from tests.support.rpc.sessions import abort, complete, write
from tests.support.rpc.streams_of_writes import Message
from tests.support.stores.local_files import blob_files

Upload = upload_pb2.Upload


def files(service: Running) -> list[str]:
    return list(map(str, blob_files(service.data_dir / "raw")))


@pytest.mark.parametrize("data", [b"", b"x"])
async def test_a_stream_of_nearly_empty_messages_is_ended(start: Start, data: bytes) -> None:
    ann = await (await start(stream_timeout="1s")).caller()

    def flood() -> Iterator[Message]:
        yield Message(spec=upload_pb2.UploadSpec())
        for number in count():
            yield Message(data=data, offset=number * len(data))
            time.sleep(0.002)  # in a thread of the client

    refusal = await refused(ann.write(flood()))
    assert refusal.reason == "STREAM_TOO_SLOW"


@pytest.mark.parametrize("method", ["WriteUpload", "AppendUpload", "UploadMedia"])
async def test_a_stream_without_a_first_message_is_ended(start: Start, method: str) -> None:
    ann = await (await start(stream_timeout="1s")).caller()

    async def nothing() -> AsyncIterator[Any]:
        await asyncio.Event().wait()
        yield

    refusal = await refused(getattr(ann.uploads, method)(nothing(), metadata=ann.metadata))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "STREAM_TOO_SLOW")


NAME = 'Content-Disposition: form-data; name="file"; '


@pytest.mark.parametrize(
    "headers",
    [
        NAME + "filename=a.jpg\r\nContent-Type: image/jpeg\0",
        NAME + "filename=a.jpg\r\nContent-Type: audio/mpeg",
        NAME + "filename=a%5B\x1b",
        NAME + f"filename={'n' * 10_000}",
        NAME + "filename*=unicode_escape''%5Cud800.jpg",
    ],
)
async def test_a_form_part_with_false_headers_leaves_no_files(
    ann: Caller, service: Running, headers: str
) -> None:
    form = b"--b\r\n" + headers.encode() + b"\r\n\r\n" + jpeg() + b"\r\n--b--\r\n"
    body = httpbody_pb2.HttpBody(content_type="multipart/form-data; boundary=b", data=form)
    request = upload_service_pb2.UploadMediaRequest(body=body)
    call = ann.uploads.UploadMedia(iter([request]), metadata=ann.metadata)
    refusal = await refused(call)
    assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
    assert files(service) == []


async def test_a_checksum_of_the_wrong_length_is_refused(ann: Caller) -> None:
    upload = await ann.create()
    first = Message(upload_id=upload.upload_id, data=jpeg())
    checksums = checksums_pb2.Checksums(sha256=b"short")
    last = Message(offset=len(jpeg()), finish=True, checksums=checksums)
    refusal = await refused(ann.write([first, last]))
    assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", ["checksums.sha256"])


async def test_an_oversized_digest_header_is_refused_unread(service: Running) -> None:
    caller = await service.caller()
    request = upload_service_pb2.PutSignedRequest(token="none")
    digest = "crc32c=:AAAAAA==:, " + "a" * 12_000
    metadata = (("content-digest", digest),)
    refusal = await refused(caller.uploads.PutSigned(iter([request]), metadata=metadata))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_HEADER")


async def test_the_audit_log_cannot_be_forged(
    ann: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "media_service.audit")
    await refused(abort(ann, "x outcome=OK\naction=media.purge user='bob'"))
    assert "bob" not in caplog.text


async def test_many_small_appends_form_one_file(ann: Caller) -> None:
    data = jpeg(400, 400)
    upload = await ann.create()
    for start in range(0, len(data), 100):
        await write(ann, upload.upload_id, data[start : start + 100], start)
    first, second = await asyncio.gather(
        complete(ann, upload.upload_id), complete(ann, upload.upload_id), return_exceptions=True
    )
    done = [one for one in (first, second) if isinstance(one, Upload)]
    assert done, (first, second)
    await ann.until_upload(upload.upload_id, lambda u: u.state == Upload.FINISHED)
    assert await ann.content(upload.media_id) == data
