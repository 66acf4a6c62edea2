"""Many uploads that finish at once: a few finish at a time, and callers take turns."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mediaservice.v1 import media_service_pb2, upload_pb2, upload_service_pb2

from media_service.storage.blob_store import BlobStore, open_store
from media_service.storage.driver import StoredPart
from media_service.storage.drivers.local.driver import LocalDriver
from media_service.uploads import finish_turns
from media_service.uploads.finish_turns import MOST_SHARED_TURNS, MOST_TURNS
from tests.support.media.small_files import jpeg
from tests.support.rpc.server import Caller, Running, Start, refused

FINISHED = upload_pb2.Upload.FINISHED
PATIENCE_SECONDS = 30


async def received(caller: Caller, count: int) -> list[str]:
    """Uploads that have all their bytes, and are not finished."""
    message = upload_service_pb2.WriteUploadRequest(data=jpeg())
    message.spec.filename = "a.jpg"
    uploads = await asyncio.gather(*(caller.write([message]) for _ in range(count)))
    return [upload.upload_id for upload in uploads]


async def complete(caller: Caller, upload_id: str) -> upload_pb2.Upload:
    request = upload_service_pb2.CompleteUploadRequest(upload_id=upload_id)
    return await caller.call(caller.uploads.CompleteUpload, request)


@asynccontextmanager
async def locked_uploads(server: Running) -> AsyncIterator[None]:
    """Within the context, uploads can be read, and none can finish."""
    async with server.database() as database, database.transaction():
        await database.execute("lock table uploads in exclusive mode")
        yield


async def store(caller: Caller) -> None:
    """Stores a file in one message, on the caller's channel."""
    message = upload_service_pb2.WriteUploadRequest(data=jpeg(), finish=True)
    message.spec.filename = "a.jpg"
    call = caller.uploads.WriteUpload(metadata=caller.metadata)
    await call.write(message)
    await call.done_writing()
    assert (await call).state == FINISHED


async def waiting(server: Running) -> int:
    """How many statements wait for a lock."""
    async with server.database() as database:
        rows = await database.execute(
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and wait_event_type = 'Lock'"
        )
        (count,) = await rows.fetchone() or (0,)
    return int(count)


async def test_callers_take_turns_at_finishing_and_reads_do_not_wait(start: Start) -> None:
    server = await start(database_pool_size="64")
    ann, bob = await server.caller("ann"), await server.caller("bob")
    kept = media_service_pb2.GetMediaRequest(media_id=(await bob.store(jpeg())).media_id)
    anns, bobs = await received(ann, 5 * MOST_TURNS), await received(bob, 1)
    order: list[Caller] = []

    async def finish(caller: Caller, upload_id: str) -> None:
        assert (await complete(caller, upload_id)).state == FINISHED
        order.append(caller)

    async with asyncio.timeout(PATIENCE_SECONDS):
        async with locked_uploads(server):
            ends = [asyncio.create_task(finish(ann, upload_id)) for upload_id in anns]
            while await waiting(server) < MOST_TURNS:
                await asyncio.sleep(0.01)
            ends += [asyncio.create_task(finish(bob, upload_id)) for upload_id in bobs]
            for _ in range(30):  # in which the others would begin
                await bob.call(bob.media.GetMedia, kept)
                assert await waiting(server) == MOST_TURNS
        await asyncio.gather(*ends)
    assert order.index(bob) <= 2 * MOST_TURNS


async def test_callers_take_turns_at_small_uploads(start: Start) -> None:
    """They finish without a session, and share transactions."""
    server = await start(database_pool_size="64")
    ann, bob = await server.caller("ann"), await server.caller("bob")
    await asyncio.gather(store(ann), store(bob))  # opens the channels
    order: list[Caller] = []

    async def finish(caller: Caller) -> None:
        await store(caller)
        order.append(caller)

    async with asyncio.timeout(PATIENCE_SECONDS):
        async with locked_uploads(server):
            ends = [asyncio.create_task(finish(ann)) for _ in range(4 * MOST_SHARED_TURNS)]
            while not await waiting(server):
                await asyncio.sleep(0.01)
            ends.append(asyncio.create_task(finish(bob)))
            await asyncio.sleep(1)  # in which all others begin to wait
        await asyncio.gather(*ends)
    assert order.index(bob) <= 2 * MOST_SHARED_TURNS


async def test_aborts_leave_connections_to_reads(start: Start) -> None:
    server = await start(database_pool_size="8")
    ann, bob = await server.caller("ann"), await server.caller("bob")
    kept = media_service_pb2.GetMediaRequest(media_id=(await bob.store(jpeg())).media_id)
    uploads = await received(ann, 12)
    async with asyncio.timeout(PATIENCE_SECONDS), locked_uploads(server):
        ends = [
            asyncio.create_task(
                ann.call(
                    ann.uploads.AbortUpload,
                    upload_service_pb2.AbortUploadRequest(upload_id=upload_id),
                )
            )
            for upload_id in uploads
        ]
        while await waiting(server) < 4:
            await asyncio.sleep(0.01)
        for _ in range(30):  # in which the others would begin
            await bob.call(bob.media.GetMedia, kept)
            assert await waiting(server) == 4
    states = {(await end).state for end in ends}
    assert states == {upload_pb2.Upload.ABORTED}


async def test_changes_leave_connections_to_reads(start: Start) -> None:
    server = await start(database_pool_size="8")
    ann, bob = await server.caller("ann"), await server.caller("bob")
    kept = media_service_pb2.GetMediaRequest(media_id=(await bob.store(jpeg())).media_id)
    doomed = [(await ann.store(jpeg())).media_id for _ in range(12)]
    async with asyncio.timeout(PATIENCE_SECONDS), server.database() as database:
        async with database.transaction():
            await database.execute("lock table media in exclusive mode")
            ends = [
                asyncio.create_task(
                    ann.call(
                        ann.media.DeleteMedia,
                        media_service_pb2.DeleteMediaRequest(media_id=media_id),
                    )
                )
                for media_id in doomed
            ]
            while await waiting(server) < 6:
                await asyncio.sleep(0.01)
            for _ in range(30):  # in which the others would begin
                await bob.call(bob.media.GetMedia, kept)
                assert await waiting(server) == 6
        await asyncio.gather(*ends)


class SlowStore(LocalDriver):
    """Joins no parts before it is `released`, unless it is `quick`."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.joining = 0
        self.quick = False
        self.released = asyncio.Event()

    async def complete(self, key: str, session: str, parts: Sequence[StoredPart]) -> None:
        if not self.quick:
            self.joining += 1
            await self.released.wait()
        await super().complete(key, session, parts)


async def test_a_store_that_joins_parts_slowly_holds_nobody_up(start: Start) -> None:
    drivers: list[SlowStore] = []

    def slow_store(name: str, url: str) -> BlobStore:
        opened = open_store(name, url)
        assert isinstance(opened.driver, LocalDriver)
        drivers.append(SlowStore(opened.driver.root))
        return BlobStore(name, drivers[-1])

    server = await start(opener=slow_store)
    ann, bob = await server.caller("ann"), await server.caller("bob")
    raw = drivers[0]
    anns, bobs = await received(ann, 3 * MOST_TURNS), await received(bob, 1)
    ends = [asyncio.create_task(complete(ann, upload_id)) for upload_id in anns]
    async with asyncio.timeout(PATIENCE_SECONDS):
        while raw.joining < len(anns):
            await asyncio.sleep(0.01)
        raw.quick = True
        assert (await complete(bob, bobs[0])).state == FINISHED
        assert (await bob.store(jpeg())).media_id
        raw.released.set()
        assert {upload.state for upload in await asyncio.gather(*ends)} == {FINISHED}


async def test_waiting_for_a_turn_has_a_limit(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finish_turns, "MOST_SECONDS", 0.2)
    server = await start(database_pool_size="64")
    ann = await server.caller()
    *first, last = await received(ann, MOST_TURNS + 1)
    async with locked_uploads(server):
        ends = [asyncio.create_task(complete(ann, upload_id)) for upload_id in first]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await waiting(server) < MOST_TURNS:
                await asyncio.sleep(0.01)
        busy = await refused(complete(ann, last))
        assert (busy.reason, busy.headers["retry-after"]) == ("SERVER_BUSY", "1")
        assert busy.metadata == {"max_streams": str(MOST_TURNS)}
    assert {upload.state for upload in await asyncio.gather(*ends)} == {FINISHED}
    assert (await complete(ann, last)).state == FINISHED
