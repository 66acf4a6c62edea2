"""Streams that send little, often, and stay open: what they cost, and that nothing is lost."""

import asyncio
from collections import Counter
from typing import Any

from mediaservice.v1 import upload_pb2, upload_service_pb2

from tests.support.media.small_files import video_bytes
from tests.support.rpc.server import Caller, Running, Start

Message = upload_service_pb2.WriteUploadRequest
PIECE = 1 << 10
DATA = video_bytes(16 * PIECE)
STREAMS = 60

# Records each change of an upload, and the transaction that made it.
RECORD_CHANGES = """
    create table changes (upload_id uuid, committed_size bigint, transaction xid8);
    create function record_change() returns trigger language plpgsql as $$
    begin
        insert into changes values (new.upload_id, new.committed_size, pg_current_xact_id());
        return null;
    end $$;
    create trigger record_change after update on uploads
    for each row execute function record_change();
"""


async def open_stream(caller: Caller) -> tuple[Any, str]:
    call = caller.uploads.WriteUpload(metadata=caller.metadata)
    first = Message(data=DATA[:PIECE])
    first.spec.filename = "video.mp4"
    await call.write(first)
    return call, str(dict(await call.initial_metadata())["x-upload-id"])


async def trickle(call: Any, start: int, end: int) -> None:
    for offset in range(start, end, PIECE):
        await call.write(Message(offset=offset, data=DATA[offset : offset + PIECE]))
        await asyncio.sleep(0.02)


async def recorded(running: Running, count: int, size: int) -> None:
    """Waits until so many uploads have so many committed bytes."""
    async with running.database() as db, asyncio.timeout(30):
        query = "select count(*) from uploads where committed_size = %s"
        while await (await db.execute(query, (size,))).fetchone() != (count,):
            await asyncio.sleep(0.05)


async def test_many_slow_streams_share_commits_and_have_few_checkpoints(start: Start) -> None:
    running = await start()
    ann = await running.caller()
    opened = await asyncio.gather(*(open_stream(ann) for _ in range(STREAMS)))
    async with running.database() as db:
        await db.execute(RECORD_CHANGES)
        half = len(DATA) // 2
        for begin, end in ((PIECE, half), (half, len(DATA))):
            await asyncio.gather(*(trickle(call, begin, end) for call, _ in opened))
            await recorded(running, STREAMS, end)
        rows = await (
            await db.execute("select upload_id::text, transaction from changes")
        ).fetchall()
    # 15 messages each, in two waves.
    checkpoints = Counter(upload_id for upload_id, _ in rows)
    assert len(checkpoints) == STREAMS
    assert checkpoints.total() <= 4 * STREAMS
    assert len({transaction for _, transaction in rows}) <= checkpoints.total() / 4
    for call, _ in opened:
        await call.write(Message(offset=len(DATA), finish=True))
        await call.done_writing()
    for call, _ in opened:
        done = await call
        assert (done.state, done.committed_size_bytes) == (upload_pb2.Upload.FINISHED, len(DATA))


async def test_no_stream_waits_for_the_locked_row_of_another(start: Start) -> None:
    running = await start()
    ann = await running.caller()
    opened = await asyncio.gather(*(open_stream(ann) for _ in range(6)))
    locked = opened[0][1]
    async with running.database() as db:
        async with db.transaction():
            await db.execute("select from uploads where upload_id = %s for update", (locked,))
            await asyncio.gather(*(trickle(call, PIECE, 2 * PIECE) for call, _ in opened))
            await recorded(running, 5, 2 * PIECE)
        await recorded(running, 6, 2 * PIECE)
    for call, _ in opened:
        call.cancel()
