"""Outages of a component: callers get a clear error, and the service recovers by itself."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import psycopg
import pytest
from mediaservice.v1 import (
    download_service_pb2,
    upload_pb2,
    upload_service_pb2,
    upload_service_pb2_grpc,
)

from media_service import app
from media_service.config import load
from tests.support.media.small_files import video_bytes
from tests.support.rpc.catalogue import listed
from tests.support.rpc.server import SECRET, Caller, Running, Start, refusal, refused, token
from tests.support.rpc.streams_of_writes import MIB, Message, chunks


async def test_calls_are_unavailable_while_the_database_is_down(
    service: Running, ann: Caller, postgres: str
) -> None:
    name = urlsplit(service.database_url).path.removeprefix("/")
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(f"alter database {name} allow_connections false".encode())
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,)
        )
        refusal = await refused(listed(ann))
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.UNAVAILABLE,
            "DATABASE_UNAVAILABLE",
        )
        assert refusal.headers["retry-after"] == "1"
        admin.execute(f"alter database {name} allow_connections true".encode())
    async with asyncio.timeout(30):
        while (again := await outcome(listed(ann))) == "DATABASE_UNAVAILABLE":
            await asyncio.sleep(0.1)
    assert again == []


async def outcome(call: Awaitable[Any]) -> Any:
    """The result of a call, or the reason of its refusal."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        return refusal(error).reason


async def test_a_stopping_server_ends_streams_and_keeps_their_bytes(
    database_url: str, tmp_path: Path, start: Start
) -> None:
    config = load(
        {
            "MEDIA_DATA_DIR": str(tmp_path),
            "MEDIA_DATABASE_URL": database_url,
            "MEDIA_JWT_SECRET": SECRET,
        }
    )
    data = video_bytes(2 * MIB)
    go_on = asyncio.Event()
    async with app.server(config, port=0) as server:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")
        uploads = upload_service_pb2_grpc.UploadServiceStub(channel)
        metadata = (("authorization", f"Bearer {token('ann')}"),)
        request = upload_service_pb2.CreateUploadRequest(
            spec=upload_pb2.UploadSpec(size_bytes=len(data))
        )
        upload = await uploads.CreateUpload(request, metadata=metadata)

        async def slow() -> AsyncIterator[Message]:
            for message in chunks(data[:MIB], upload_id=upload.upload_id, finish=False):
                yield message
            await go_on.wait()

        call = uploads.WriteUpload(slow(), metadata=metadata)
        await (await (await start()).caller()).until_upload(
            upload.upload_id, lambda u: u.committed_size_bytes > 0
        )
    refusal = await refused(call)
    go_on.set()
    await channel.close()
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    again = await (await start()).caller()
    assert (await again.get_upload(upload.upload_id)).committed_size_bytes == MIB
    done = await again.write(chunks(data, upload_id=upload.upload_id, start=MIB))
    assert await again.content(done.media.media_id) == data


async def test_a_stopping_server_ends_watches_and_downloads_with_a_reason(
    service: Running, ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "GRACE_SECONDS", 2)
    data = video_bytes(16 * MIB)
    kept = await ann.store_all(data)
    upload = await ann.create(size_bytes=1)
    config = load(service.environ)
    async with AsyncExitStack() as stack:
        async with app.server(config, port=0) as server:
            address = f"127.0.0.1:{server.port}"
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
            stopping = Caller(address, channel, ann.token)
            request = upload_service_pb2.WatchUploadRequest(upload_id=upload.upload_id)
            watch: Any = stopping.uploads.WatchUpload(request, metadata=ann.metadata)
            assert (await watch.read()).upload_id == upload.upload_id
            asked = download_service_pb2.DownloadRequest(media_id=kept.media_id)
            download: Any = stopping.downloads.Download(asked, metadata=ann.metadata)
            received: list[Any] = [await download.read()]
            reading = asyncio.create_task(read_slowly(download, received))
        for ended in (rest_of(watch), reading):
            refusal = await refused(ended)
            assert (refusal.code, refusal.reason) == (
                grpc.StatusCode.UNAVAILABLE,
                "SHUTTING_DOWN",
            )
            assert refusal.headers["retry-after"] == "1"
    position = sum(len(message.data) for message in received)
    assert 0 < position < len(data)
    assert (
        b"".join(message.data for message in received)
        + await ann.content(kept.media_id, offset=position)
        == data
    )


async def read_slowly(call: Any, received: list[Any]) -> None:
    """Reads until the server ends the call, so slowly that it cannot send everything."""
    while message := await call.read():
        received.append(message)
        await asyncio.sleep(0.1)


async def rest_of(call: Any) -> None:
    while await call.read():
        pass
