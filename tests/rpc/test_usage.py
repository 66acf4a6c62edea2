"""Reads of media are counted, and the counts are recorded with a delay."""

from collections.abc import AsyncIterable

from mediaservice.v1 import download_service_pb2, media_pb2, media_service_pb2

from media_service import app
from media_service.config import load
from media_service.db.database import Database
from media_service.media.content import Use
from media_service.media.usage import UsageCounter
from tests.support.media.small_files import jpeg
from tests.support.renditions import give
from tests.support.rpc.server import Caller, Running
from tests.support.tools import eventually_async

REST = ("x-envoy-original-method", "GET")
HEAD = ("x-envoy-original-method", "HEAD")


async def get(caller: Caller, media_id: str) -> media_pb2.Media:
    request = media_service_pb2.GetMediaRequest(media_id=media_id)
    media: media_pb2.Media = await caller.call(caller.media.GetMedia, request)
    return media


async def read(call: AsyncIterable[object]) -> None:
    async for _ in call:
        pass


async def test_reads_are_recorded_when_the_server_stops(service: Running) -> None:
    ann = await service.caller()
    stored = await ann.store(jpeg())
    media_id = stored.media_id
    await give(service.environ, media_id, "small", b"small")
    before = await get(ann, media_id)

    content = download_service_pb2.GetContentRequest(media_id=media_id)
    small = download_service_pb2.GetContentRequest(media_id=media_id, rendition="small")
    download = download_service_pb2.DownloadRequest(media_id=media_id)
    rest = download_service_pb2.DownloadRequest(media_id=media_id, offset=10)
    async with app.server(load(service.environ), 0) as second:
        running = Running(
            f"127.0.0.1:{second.port}",
            service.data_dir,
            service.database_url,
            service.channels,
            service.environ,
        )
        caller = await running.caller()
        downloads, token = caller.downloads, caller.metadata
        # Three downloads and one view, because the second one comes within ten minutes:
        await read(downloads.Download(download, metadata=token))
        await read(downloads.GetContent(content, metadata=(*token, REST)))
        start = ("range", "bytes=0-9")
        await read(downloads.GetContent(content, metadata=(*token, REST, start)))
        await read(downloads.GetContent(small, metadata=(*token, REST)))
        await read(downloads.GetContent(small, metadata=(*token, REST)))
        # None:
        await read(downloads.Download(rest, metadata=token))
        await read(downloads.GetContent(content, metadata=(*token, HEAD)))
        later = ("range", "bytes=10-19")
        await read(downloads.GetContent(content, metadata=(*token, REST, later)))
        same = ("if-none-match", "*")
        await read(downloads.GetContent(content, metadata=(*token, REST, same)))
        assert await get(caller, media_id) == before
    after = await get(ann, media_id)
    assert (after.download_count, after.view_count) == (3, 1)
    assert (after.etag, after.update_time) == (before.etag, before.update_time)


async def test_reads_are_recorded_while_the_server_runs(service: Running) -> None:
    ann = await service.caller()
    media_id = (await ann.store(jpeg())).media_id
    async with (
        Database(service.database_url, 2) as database,
        UsageCounter(database, flush_seconds=0.01) as usage,
    ):
        for expected in (1, 2):
            usage.add(media_id, Use.VIEW)

            async def counted(expected: int = expected) -> bool:
                return (await get(ann, media_id)).view_count == expected

            await eventually_async(counted)


async def test_reads_of_a_locked_media_are_recorded_later(service: Running) -> None:
    ann = await service.caller()
    locked, free = (await ann.store(jpeg())).media_id, (await ann.store(jpeg())).media_id
    async with (
        Database(service.database_url, 2) as database,
        UsageCounter(database, flush_seconds=0.01) as usage,
        service.database() as db,
        db.transaction(),
    ):
        await db.execute("select from media where media_id = %s for update", (locked,))
        for media_id in (locked, free):
            usage.add(media_id, Use.DOWNLOAD)

        async def counted() -> bool:
            return (await get(ann, free)).download_count == 1

        await eventually_async(counted)
        assert (await get(ann, locked)).download_count == 0
    assert (await get(ann, locked)).download_count == 1
    assert (await get(ann, free)).download_count == 1
