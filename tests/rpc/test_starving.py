"""Small files that cost far more than their size suggests end with a reason, and do not delay the
work of other owners. `make soak` runs all of them, with a longer form of this test."""

import asyncio

from media_service.db.database import Database
from tests.support.media import starving_files
from tests.support.media.small_files import jpeg
from tests.support.rpc.catalogue import Media, delete, until_done
from tests.support.rpc.jobs import Job, ended, error_info, listed, reason
from tests.support.rpc.server import Start

HELD = "select from jobs where kind = 'PROCESS' and state = 'RUNNING' and owner_id = 'ann'"


async def test_an_image_becomes_ready_while_another_owner_holds_every_slot(
    start: Start, database: Database
) -> None:
    service = await start(work=True, worker_slots="2", document_presets="preview=page")
    ann, bob = await service.caller("ann"), await service.caller("bob")
    document = (starving_files.FOLDER / "pdf_func.pdf").read_bytes()
    stored = [await ann.store(document) for _ in range(3)]

    async def until_held(slots: int) -> None:
        async with asyncio.timeout(60):
            while True:
                async with database.connection() as db:
                    if (await db.execute(HELD)).rowcount == slots:
                        return
                await asyncio.sleep(0.02)

    await until_held(2)
    image = await bob.store(jpeg())
    assert (await until_done(bob, image.media_id)).state == Media.READY
    previews = [job for job in await listed(ann) if job.type == Job.PROCESS]
    assert {job.state for job in previews} <= {Job.QUEUED, Job.RUNNING}
    assert len(previews) == 3
    for media in stored:
        await delete(ann, media.media_id)
    for job in previews:
        assert reason(await ended(ann, job.job_id)) == "MEDIA_DELETED"


async def test_files_that_cost_too_much_are_refused_early(start: Start) -> None:
    service = await start(work=True, audio_presets="waveform=waveform")
    ann = await service.caller()
    for file in starving_files.refused_early(20_001):
        stored = await ann.store_all(file.data)
        media = await until_done(ann, stored.media_id)
        jobs = {job.type: job for job in await listed(ann, media_id=media.media_id)}
        failed = await ended(ann, jobs[Job.INGEST if file.media else Job.PROCESS].job_id)
        info = error_info(failed)
        assert (file.name, info.reason) == (file.name, file.media or file.preset)
        assert set(info.metadata) == {"limit", "value"}
        assert failed.attempt == 1
        if file.media:
            assert error_info(media) == info
