"""A worker removes files that dead processes left."""

import asyncio
import os
import tempfile
from pathlib import Path

import pytest

from media_service.ids import new_id
from tests.support.media.small_files import video_bytes
from tests.support.rpc.server import Start
from tests.support.rpc.streams_of_writes import Message


async def gone(*paths: Path) -> None:
    async with asyncio.timeout(20):
        while any(path.exists() for path in paths):
            await asyncio.sleep(0.02)


async def test_a_worker_removes_only_abandoned_parts_and_temporary_files(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    server = await start()
    ann = await server.caller()
    kept = await ann.create()
    data = video_bytes(100_000)
    await ann.write([Message(upload_id=kept.upload_id, data=data)])
    (resting,) = [path for path in (tmp_path / "raw/parts").rglob("*") if path.is_file()]
    blob_id = new_id()
    abandoned = tmp_path / f"raw/parts/blobs/{blob_id[-2:]}/{blob_id}/1-1"
    abandoned.parent.mkdir(parents=True)
    left, young = scratch / "media-blob-left", scratch / "media-blob-young"
    for path in (abandoned, left, young):
        path.write_bytes(b"something")
    for path in (resting, abandoned, left):
        os.utime(path, (0, 0))
    await start(work=True)
    await gone(abandoned.parent, left)
    assert resting.exists()
    assert young.exists()
    message = Message(upload_id=kept.upload_id, offset=len(data), finish=True)
    await ann.write([message])
    assert await ann.content(kept.media_id) == data
