"""Versions are added, restored, deleted, and their media deleted, restored and purged, in random
order at the same time. What a caller was told is there, what a row names has its bytes, and nothing
remains that no row names."""

import asyncio
import random
from dataclasses import dataclass, field

import grpc
import pytest
from mediaservice.v1 import media_pb2

from media_service.blobs.references import blob_references
from tests.support.media.small_files import jpeg
from tests.support.rpc.catalogue import delete, get, purge, undelete, until_done, update
from tests.support.rpc.server import Caller, Running, refusal
from tests.support.rpc.versions import (
    content,
    delete_version,
    replaced,
    restore,
    version,
    versions,
)
from tests.support.tools import eventually_async

COLORS = ("red", "green", "blue", "black")
# What another caller may have made of the media meanwhile.
EXPECTED = {
    *("MEDIA_NOT_FOUND", "MEDIA_DELETED", "MEDIA_NOT_DELETED", "ETAG_MISMATCH"),
    *("VERSION_NOT_FOUND", "VERSION_NOT_READY", "VERSION_CURRENT"),
}
OPERATIONS = 60
REFERENCES = " + ".join(
    f"(select count(*) from {reference.table} r where r.blob_id = b.blob_id)"  # noqa: S608 - made of constants
    for reference in blob_references()
)
VIOLATIONS = {
    "references that are counted wrong": f"select blob_id from blobs b where reference_count <> {REFERENCES}",  # noqa: E501, S608
    "bytes that nothing names": """
        select blob_id from blobs b where reference_count = 0 and not exists (
            select from jobs j where j.subject_id = b.blob_id and j.state in ('QUEUED', 'RUNNING')
        )""",
    "a size that is not that of the versions": """
        select m.media_id
        from media m join media_versions v on v.media_id = m.media_id
        join blobs b on b.blob_id = v.blob_id
        group by m.media_id having m.size_bytes + m.other_bytes <> sum(b.size_bytes)
        or m.size_bytes <> sum(b.size_bytes) filter (where v.version = m.version)""",
    "a current version that is not marked": """
        select m.media_id from media m join media_versions v on v.media_id = m.media_id
        where (v.version = m.version) <> (v.state is null)""",
    "a version that is neither current nor ended": """
        select v.media_id from media_versions v join media m on m.media_id = v.media_id
        where v.state in ('PENDING', 'PROCESSING') and m.delete_time is null""",
    "a rendition of an earlier version that is public": """
        select k.media_id from version_renditions k join blobs b on b.blob_id = k.blob_id
        where b.store = 'public'""",
}
UNFINISHED = """
    select count(*) from jobs
    where kind in ('INGEST', 'SCAN', 'PUBLISH') and state in ('QUEUED', 'RUNNING')
"""


@dataclass
class Model:
    """The bytes of each version of which a caller was told."""

    seed: int
    known: dict[tuple[str, int], bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311

    def some(self, media_id: str) -> int:
        numbers = [number for known, number in self.known if known == media_id]
        return self.random.choice(numbers)

    async def step(self, caller: Caller, media_id: str) -> None:
        operation = self.random.choice(
            ["replace"] * 4
            + ["restore"] * 3
            + ["remove"] * 3
            + ["show", "delete", "undelete", "purge"]
        )
        number = self.some(media_id)
        try:
            if operation == "replace":
                data = jpeg(color=self.random.choice(COLORS))
                upload = await replaced(caller, media_id, data)
                self.known[media_id, upload.version] = data
            elif operation == "restore":
                added = await restore(caller, media_id, number)
                self.known[media_id, added.version] = self.known[media_id, number]
            elif operation == "remove":
                await delete_version(caller, media_id, number)
            elif operation == "show":
                wanted = self.random.choice([media_pb2.Media.PUBLIC, media_pb2.Media.PRIVATE])
                await update(caller, ["visibility"], media_id=media_id, visibility=wanted)
            elif operation == "delete":
                await delete(caller, media_id)
            elif operation == "undelete":
                await undelete(caller, media_id)
            elif self.random.random() < 0.2:
                await purge(caller, media_id)
        except grpc.RpcError as error:
            if refusal(error).reason not in EXPECTED:
                raise


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_bytes_are_lost_or_left(working: Running, seed: int) -> None:
    ann = await working.caller()
    model = Model(seed)
    media_ids = []
    for color in COLORS:
        stored = await ann.store(jpeg(color=color))
        await until_done(ann, stored.media_id)
        model.known[stored.media_id, 1] = jpeg(color=color)
        media_ids.append(stored.media_id)

    async def work() -> None:
        for _ in range(OPERATIONS // 4):
            await model.step(ann, model.random.choice(media_ids))

    await asyncio.gather(*(work() for _ in range(4)))
    await settle(working)
    for media_id in media_ids:
        await check(ann, model, media_id)


async def settle(service: Running) -> None:
    """Waits until all inspections have ended, and looks for violations in the rows."""
    async with service.database() as db:

        async def idle() -> bool:
            ((unfinished,),) = await (await db.execute(UNFINISHED)).fetchall()
            return bool(unfinished == 0)

        await eventually_async(idle, 60)
        for what, query in VIOLATIONS.items():
            found = await (await db.execute(query.encode())).fetchall()
            assert not found, what


async def check(caller: Caller, model: Model, media_id: str) -> None:
    """Reads every version of a media that is not purged."""
    try:
        await undelete(caller, media_id)
    except grpc.RpcError as error:
        if refusal(error).reason != "MEDIA_NOT_FOUND":
            raise
        return
    media = await get(caller, media_id)
    assert await caller.content(media_id) == model.known[media_id, media.version]
    for each in await versions(caller, media_id):
        expected = model.known[media_id, each.version]
        assert await content(caller, media_id, each.version) == expected
        for rendition in (await version(caller, media_id, each.version)).renditions:
            data = await content(caller, media_id, each.version, rendition.name)
            assert len(data) == rendition.size_bytes
