"""A database that says nothing: callers are refused, nothing acknowledged is lost, and work resumes
when it answers again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import ExitStack
from typing import Any

import grpc
from mediaservice.v1 import media_pb2, upload_pb2, upload_service_pb2

from media_service import app
from media_service.config import load
from media_service.ids import new_id
from tests.support.media.small_files import jpeg, video_bytes
from tests.support.rpc.catalogue import listed, until_done
from tests.support.rpc.server import Caller, Running, Start, refusal, refused
from tests.support.rpc.streams_of_writes import MIB, Message, chunks
from tests.support.silent_database import frozen, line_to
from tests.support.tools import eventually_async

PATIENCE_SECONDS = 30
SHORT = {"database_timeout": "2s"}


async def refused_for_the_database(call: Awaitable[Any]) -> None:
    """Awaits a call that is refused because of the database."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        found = await refused(call)
    assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
    assert found.headers["retry-after"] == "1"


async def answered(ann: Caller) -> None:
    """Waits until the service answers."""

    async def answers() -> bool:
        try:
            await listed(ann)
        except grpc.aio.AioRpcError as error:
            if refusal(error).reason != "DATABASE_UNAVAILABLE":
                raise
            return False
        return True

    await eventually_async(answers)


async def test_callers_of_a_frozen_database_are_refused_and_work_resumes(
    start: Start, postgres: str
) -> None:
    service = await start(work=True, **SHORT)
    ann = await service.caller()
    kept = await ann.store(jpeg())
    await until_done(ann, kept.media_id)
    data = video_bytes(2 * MIB)
    upload = await ann.create(size_bytes=len(data))
    freeze = asyncio.Event()

    async def interrupted() -> AsyncIterator[Message]:
        for message in chunks(data[:MIB], upload_id=upload.upload_id, finish=False):
            yield message
        await freeze.wait()
        for message in chunks(data, upload_id=upload.upload_id, start=MIB):
            yield message

    writing = ann.uploads.WriteUpload(interrupted(), metadata=ann.metadata)
    before = await ann.until_upload(upload.upload_id, lambda u: u.committed_size_bytes > 0)
    with frozen(postgres):
        freeze.set()
        async with asyncio.TaskGroup() as callers:
            callers.create_task(refused_for_the_database(writing))
            for _ in range(50):
                callers.create_task(refused_for_the_database(listed(ann)))
                callers.create_task(refused_for_the_database(ann.content(kept.media_id)))
                callers.create_task(refused_for_the_database(ann.create(size_bytes=1)))
    await answered(ann)
    there = await ann.get_upload(upload.upload_id)
    assert there.committed_size_bytes >= before.committed_size_bytes
    rest = chunks(data, upload_id=upload.upload_id, start=there.committed_size_bytes)
    done = await ann.write(rest)
    assert await ann.content(done.media.media_id) == data
    assert await ann.content(kept.media_id) == jpeg()
    later = await ann.store(jpeg())
    assert (await until_done(ann, later.media_id)).state == media_pb2.Media.READY


async def test_a_server_and_a_worker_stop_while_the_database_is_frozen(
    service: Running, postgres: str
) -> None:
    config = load({**service.environ, "MEDIA_DATABASE_TIMEOUT": "2s"})
    ready = asyncio.Event()
    with ExitStack() as ice:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async with app.server(config, 0):
                worker = asyncio.create_task(app.work(config, ready.set))
                await ready.wait()
                ice.enter_context(frozen(postgres))
                worker.cancel()
                await asyncio.wait([worker])


async def test_an_upload_whose_creation_was_committed_without_an_answer_can_be_continued(
    start: Start, database_url: str, s3_url: str
) -> None:
    """On S3, where a session that was aborted takes no bytes."""
    async with line_to(database_url) as (line, url):
        service = await start(database_url=url, storage_raw_url=s3_url, **SHORT)
        ann = await service.caller()
        data = jpeg()
        spec = upload_pb2.UploadSpec(size_bytes=len(data))
        request = upload_service_pb2.CreateUploadRequest(spec=spec, request_id=new_id())
        line.lose_answer_to(b"insert into uploads", b"COMMIT")
        await refused_for_the_database(ann.call(ann.uploads.CreateUpload, request))
        assert line.lost.is_set()
        upload = await ann.call(ann.uploads.CreateUpload, request)
        done = await ann.write(chunks(data, upload_id=upload.upload_id))
        assert await ann.content(done.media.media_id) == data
        assert len(await listed(ann)) == 1


async def test_a_file_that_was_committed_without_an_answer_is_stored_once(
    start: Start, database_url: str
) -> None:
    async with line_to(database_url) as (line, url):
        service = await start(database_url=url, **SHORT)
        ann = await service.caller()
        message = upload_service_pb2.WriteUploadRequest(
            data=jpeg(), finish=True, request_id=new_id()
        )
        message.spec.filename = "a.jpg"
        line.lose_answer_to(b"insert into media")
        await refused_for_the_database(ann.write([message]))
        assert line.lost.is_set()
        done = await ann.write([message])
        assert await ann.content(done.media.media_id) == jpeg()
        assert [media.media_id for media in await listed(ann)] == [done.media.media_id]
