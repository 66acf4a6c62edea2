"""Renditions are always in the store that the visibility of their media requires."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media_service.blobs import queries as blob_queries
from media_service.blobs.model import Blob
from media_service.db.new_job import NewJob
from media_service.errors import FailedPrecondition, Fault, NotFound, Reason, Unavailable
from media_service.ids import new_id
from media_service.jobs.model import JobKind
from media_service.jobs.progress import Progress
from media_service.media import queries
from media_service.media.model import MediaState, NewRendition
from media_service.media.reader import PublicReader
from media_service.renditions.rendition_store import MAX_RENDITIONS
from media_service.storage.checksums import Checksums
from media_service.storage.driver import PartName
from media_service.storage.drivers.local.driver import LocalDriver
from media_service.storage.drivers.memory import MemoryDriver
from tests.support.job_claims import claim as claim_next
from tests.support.killable_renditions import (
    ANN,
    KillableDatabase,
    Killed,
    RenditionHarness,
    Steps,
    WaitingDriver,
    content,
    objects,
)
from tests.support.long_form import examples


@pytest.fixture
async def harness(database_url: str) -> AsyncIterator[RenditionHarness]:
    steps = Steps()
    async with KillableDatabase(database_url, steps) as database:
        yield RenditionHarness(database, steps)


async def where(harness: RenditionHarness, media_id: str) -> dict[str, str]:
    """The store of each rendition, after checking that its bytes are there."""
    media = await harness.there(media_id)
    for rendition in media.renditions:
        assert await content(harness.stores[rendition.blob.store], rendition.blob)
    return {r.name: r.blob.store for r in media.renditions}


async def test_a_rendition_is_in_the_raw_store_until_its_media_is_public(
    harness: RenditionHarness,
) -> None:
    media_id = await harness.new()
    await harness.add(media_id, "small", b"small image")
    assert await where(harness, media_id) == {"small": "raw"}
    await harness.show(media_id, "PUBLIC")
    await harness.work()
    assert await where(harness, media_id) == {"small": "public"}
    await harness.settle()
    assert list((await objects(harness.public)).values()) == [b"small image"]
    assert list((await objects(harness.raw)).values()) == [b"the original"]
    await harness.show(media_id, "PRIVATE")
    await harness.work()
    assert await where(harness, media_id) == {"small": "raw"}
    assert await objects(harness.public) == {}


async def test_adding_a_rendition_leaves_no_cleanup_job(harness: RenditionHarness) -> None:
    """The job that would have removed its bytes after a crash."""
    media_id = await harness.new()
    await harness.add(media_id, "small", b"small image")
    assert await harness.execute("select kind, state from jobs") == []


async def test_deleting_a_rendition_removes_it_from_its_store(harness: RenditionHarness) -> None:
    media_id = await harness.new()
    await harness.show(media_id, "PUBLIC")
    for name in ("one", "two"):
        await harness.add(media_id, name, name.encode())
    await harness.deletions.delete_rendition(ANN, media_id, "one", "")
    await harness.work()
    assert list((await objects(harness.public)).values()) == [b"two"]
    assert await where(harness, media_id) == {"two": "public"}
    blobs = await harness.execute("select reference_count, store from blobs order by store")
    assert [(row["store"], row["reference_count"]) for row in blobs] == [("public", 1), ("raw", 1)]


async def test_a_rendition_deleted_while_it_moves_leaves_no_bytes(
    harness: RenditionHarness,
) -> None:
    media_id = await harness.new()
    await harness.add(media_id, "small", b"small image")
    await harness.show(media_id, "PUBLIC")
    slow = harness.public.driver = WaitingDriver(harness.steps)
    moving = asyncio.create_task(harness.work())
    await slow.stored.wait()
    await harness.deletions.delete_rendition(ANN, media_id, "small", "")
    slow.go_on.set()
    await moving
    await harness.settle()
    assert await objects(harness.public) == {}
    assert list((await objects(harness.raw)).values()) == [b"the original"]
    assert len(await harness.execute("select 1 from blobs")) == 1


async def test_concurrent_jobs_cannot_exceed_the_rendition_limit(harness: RenditionHarness) -> None:
    media_id = await harness.new()
    for n in range(MAX_RENDITIONS - 1):
        new = NewRendition(f"r-{n}", "image/webp", "negate", 1)
        await harness.renditions.add(media_id, new, b"image")
    added = await asyncio.gather(
        *(
            harness.renditions.add(media_id, NewRendition(name, "image/webp", "negate", 1), b"last")
            for name in ("a", "b")
        ),
        return_exceptions=True,
    )
    refusals = [one for one in added if isinstance(one, FailedPrecondition)]
    assert [one.reason for one in refusals] == [Reason.RENDITION_LIMIT_EXCEEDED]
    assert len((await harness.there(media_id)).renditions) == MAX_RENDITIONS
    await harness.settle()
    assert list((await objects(harness.raw)).values()).count(b"last") == 1


async def test_a_new_rendition_of_a_public_media_is_public_at_once(
    harness: RenditionHarness,
) -> None:
    media_id = await harness.new()
    await harness.show(media_id, "PUBLIC")
    await harness.add(media_id, "small", b"small image")
    assert await where(harness, media_id) == {"small": "public"}


async def test_a_file_becomes_a_rendition_with_its_checksums(
    harness: RenditionHarness, tmp_path: Path
) -> None:
    media_id = await harness.new()
    file = tmp_path / "made"
    file.write_bytes(b"123456789")
    before = await harness.there(media_id)
    await harness.renditions.add(media_id, NewRendition("small", "image/webp"), file)
    media = await harness.there(media_id)
    (rendition,) = media.renditions
    assert rendition.content_type == "image/webp"
    assert rendition.blob.size_bytes == 9
    assert rendition.blob.checksums.crc32c == 0xE3069283
    assert rendition.blob.checksums.sha256 is not None
    assert media.etag != before.etag


async def test_a_new_rendition_replaces_the_older_one(harness: RenditionHarness) -> None:
    media_id = await harness.new()
    await harness.add(media_id, "small", b"first")
    await harness.add(media_id, "small", b"second")
    await harness.add(media_id, "large", b"another")
    await harness.settle()
    assert sorted((await objects(harness.raw)).values()) == [b"another", b"second", b"the original"]


@pytest.mark.parametrize("name", ["", "Small", "a/b", "../a", "a" * 65, ".a"])
async def test_an_invalid_rendition_name_is_refused_and_leaves_no_bytes(
    harness: RenditionHarness, name: str
) -> None:
    media_id = await harness.new()
    with pytest.raises(Exception, match="renditions_name_check"):
        await harness.add(media_id, name, b"bytes")
    await harness.settle()
    assert list((await objects(harness.raw)).values()) == [b"the original"]


async def test_adding_a_rendition_to_a_missing_media_is_refused(harness: RenditionHarness) -> None:
    with pytest.raises(NotFound, match="The media does not exist"):
        await harness.add("018f0000-0000-7000-8000-000000000000", "small", b"bytes")


@pytest.mark.parametrize(("first", "then"), [("PUBLIC", "PRIVATE"), ("PRIVATE", "PUBLIC")])
async def test_visibility_can_change_while_a_rendition_is_added(
    harness: RenditionHarness, first: str, then: str
) -> None:
    media_id = await harness.new()
    await harness.show(media_id, first)
    slow = WaitingDriver(harness.steps)
    (harness.public if first == "PUBLIC" else harness.raw).driver = slow
    adding = asyncio.create_task(harness.add(media_id, "small", b"small image"))
    await slow.stored.wait()
    await harness.show(media_id, then)
    await harness.work()
    slow.go_on.set()
    await adding
    await (harness.settle() if then == "PUBLIC" else harness.work())
    store = "public" if then == "PUBLIC" else "raw"
    assert await where(harness, media_id) == {"small": store}
    other = harness.raw if then == "PUBLIC" else harness.public
    assert b"small image" not in (await objects(other)).values()


@pytest.mark.parametrize("end", ["purge", "delete"])
async def test_a_media_can_be_purged_while_a_rendition_is_added(
    harness: RenditionHarness, end: str
) -> None:
    media_id = await harness.new()
    await harness.show(media_id, "PUBLIC")
    slow = harness.public.driver = WaitingDriver(harness.steps)
    adding = asyncio.create_task(harness.add(media_id, "small", b"small image"))
    await slow.stored.wait()
    await harness.media.delete(ANN, media_id, "")
    if end == "purge":
        await harness.deletions.purge(ANN, media_id)
    slow.go_on.set()
    if end == "purge":
        with pytest.raises(NotFound):
            await adding
    else:
        await adding
    await harness.work()
    assert await objects(harness.public) == {}
    assert (b"small image" in (await objects(harness.raw)).values()) == (end == "delete")


async def test_visibility_can_change_back_while_the_job_copies(harness: RenditionHarness) -> None:
    media_id = await harness.new()
    await harness.add(media_id, "small", b"small image")
    await harness.show(media_id, "PUBLIC")
    slow = harness.public.driver = WaitingDriver(harness.steps)
    working = asyncio.create_task(harness.work())
    await slow.stored.wait()
    await harness.show(media_id, "PRIVATE")
    slow.go_on.set()
    await working
    await harness.work()
    assert await where(harness, media_id) == {"small": "raw"}
    assert await objects(harness.public) == {}


async def test_a_rendition_can_be_replaced_while_it_is_copied(harness: RenditionHarness) -> None:
    media_id = await harness.new()
    await harness.add(media_id, "small", b"older")
    await harness.show(media_id, "PUBLIC")
    slow = harness.public.driver = WaitingDriver(harness.steps)
    working = asyncio.create_task(harness.work())
    await slow.stored.wait()
    adding = asyncio.create_task(harness.add(media_id, "small", b"newer"))
    slow.go_on.set()
    await asyncio.gather(working, adding)
    await harness.settle()
    assert list((await objects(harness.public)).values()) == [b"newer"]
    assert list((await objects(harness.raw)).values()) == [b"the original"]


async def test_two_publish_jobs_of_one_media_do_not_interfere(harness: RenditionHarness) -> None:
    media_id = await harness.new()
    for name in ("small", "medium", "large"):
        await harness.add(media_id, name, name.encode())
    for visibility in ("PUBLIC", "PRIVATE", "PUBLIC"):
        await harness.show(media_id, visibility)
    await asyncio.gather(*(harness.work() for _ in range(3)))
    await harness.settle()
    assert set((await where(harness, media_id)).values()) == {"public"}
    assert sorted((await objects(harness.public)).values()) == [b"large", b"medium", b"small"]
    assert list((await objects(harness.raw)).values()) == [b"the original"]


async def test_a_lost_rendition_does_not_prevent_moving_the_others(
    harness: RenditionHarness,
) -> None:
    media_id = await harness.new()
    await harness.show(media_id, "PUBLIC")
    await harness.add(media_id, "a-lost", b"lost")
    await harness.add(media_id, "small", b"small image")
    await harness.work()
    lost, _ = (await harness.there(media_id)).renditions
    await harness.public.driver.delete(lost.blob.key)
    await harness.show(media_id, "PRIVATE")
    async with harness.database.connection() as db:
        claim = await claim_next(db)
    assert claim is not None
    with pytest.raises(Exception, match="missing"):
        await harness.handlers[JobKind.PUBLISH].run(claim, Progress())
    await harness.handlers[JobKind.PUBLISH].give_up(claim, Fault(Reason.BLOB_MISSING, "gone"))
    await harness.work()
    assert await objects(harness.public) == {}
    stores = {r.name: r.blob.store for r in (await harness.there(media_id)).renditions}
    assert stores == {"a-lost": "public", "small": "raw"}


@pytest.mark.parametrize("kind", [JobKind.PUBLISH, JobKind.UNLINK])
async def test_a_failed_move_or_removal_is_retried_later(
    harness: RenditionHarness, kind: JobKind
) -> None:
    """An outage of an hour must not leave private renditions public for ever."""
    media_id = await harness.new()
    await harness.show(media_id, "PUBLIC")
    await harness.add(media_id, "small", b"small image")
    await harness.work()
    await harness.show(media_id, "PRIVATE")
    async with harness.database.connection() as db:
        while (claim := await claim_next(db)) and claim.kind is not kind:
            await harness.handlers[claim.kind].run(claim, Progress())
    assert claim is not None
    await harness.handlers[kind].give_up(claim, Fault(Reason.STORAGE_UNAVAILABLE, "out"))
    await harness.settle()
    assert await objects(harness.public) == {}


async def test_a_deleted_media_is_not_public_until_it_is_undeleted(
    harness: RenditionHarness,
) -> None:
    media_id = await harness.new()
    await harness.show(media_id, "PUBLIC")
    await harness.add(media_id, "small", b"small image")
    await harness.media.delete(ANN, media_id, "")
    await harness.work()
    assert await where(harness, media_id) == {"small": "raw"}
    assert await objects(harness.public) == {}
    await harness.media.undelete(ANN, media_id)
    await harness.work()
    assert await where(harness, media_id) == {"small": "public"}


async def test_a_rendition_that_was_just_looked_up_is_readable_while_it_moves(
    harness: RenditionHarness,
) -> None:
    """Unless it becomes private: then its public bytes are removed at once."""
    media_id = await harness.new()
    await harness.add(media_id, "small", b"small image")
    found = (await harness.there(media_id)).renditions[0].blob
    await harness.show(media_id, "PUBLIC")
    await harness.work()
    assert await content(harness.raw, found) == b"small image"
    await harness.settle()
    assert found.key not in await objects(harness.raw)
    replaced = (await harness.there(media_id)).renditions[0].blob
    await harness.add(media_id, "small", b"another")
    await harness.work()
    assert await content(harness.public, replaced) == b"small image"


async def test_a_purge_removes_the_renditions(harness: RenditionHarness) -> None:
    media_id = await harness.new()
    await harness.show(media_id, "PUBLIC")
    await harness.add(media_id, "small", b"small image")
    await harness.media.delete(ANN, media_id, "")
    await harness.deletions.purge(ANN, media_id)
    await harness.work()
    assert await objects(harness.public) == {}
    assert await objects(harness.raw) == {}
    assert await harness.execute("select from blobs") == []


async def test_an_unpublished_rendition_is_not_found_at_once(
    harness: RenditionHarness,
) -> None:
    """Before any job has run."""
    media_id = await harness.new()
    await harness.show(media_id, "PUBLIC")
    await harness.add(media_id, "small", b"small image")
    public = PublicReader(harness.database)
    key = (await harness.there(media_id)).renditions[0].blob.key
    assert (await public.get(key))[1].name == "small"
    await harness.show(media_id, "PRIVATE")
    with pytest.raises(NotFound):
        await public.get(key)
    await harness.show(media_id, "PUBLIC")
    assert (await public.get(key))[1].name == "small"
    async with harness.database.transaction() as db:
        await queries.set_state(db, media_id, MediaState.QUARANTINED)
    with pytest.raises(NotFound):
        await public.get(key)


async def test_a_key_of_the_raw_store_is_not_public(harness: RenditionHarness) -> None:
    media_id = await harness.new()
    await harness.add(media_id, "small", b"small image")
    await harness.show(media_id, "PUBLIC")
    media = await harness.there(media_id)
    public = PublicReader(harness.database)
    for key in (media.blob.key, media.renditions[0].blob.key, "", "blobs", "\0"):
        with pytest.raises(NotFound):
            await public.get(key)


async def test_bytes_whose_removal_has_begun_cannot_become_a_rendition(
    harness: RenditionHarness,
) -> None:
    """A writer that exceeded its time is refused and leaves no bytes."""
    media_id = await harness.new()
    await harness.show(media_id, "PUBLIC")
    slow = harness.public.driver = WaitingDriver(harness.steps)
    adding = asyncio.create_task(harness.add(media_id, "small", b"small image"))
    await slow.stored.wait()
    await harness.settle()
    assert await objects(harness.public) == {}
    await MemoryDriver.put(slow, slow.key, b"small image")  # the write that was still in flight
    slow.go_on.set()
    with pytest.raises(Unavailable, match="within 30 minutes"):
        await adding
    assert await objects(harness.public) == {}
    assert (await harness.there(media_id)).renditions == ()


@pytest.mark.parametrize("kill_at", [0, 1])
async def test_a_rendition_cannot_use_a_key_with_an_interrupted_removal(
    harness: RenditionHarness, kill_at: int
) -> None:
    """Otherwise the rendition would refer to bytes that are gone or about to be removed."""
    media_id = await harness.new()
    await harness.show(media_id, "PUBLIC")
    await harness.work()
    slow = harness.public.driver = WaitingDriver(harness.steps)
    adding = asyncio.create_task(harness.add(media_id, "small", b"small image"))
    await slow.stored.wait()
    await harness.let_time_pass()
    harness.steps.left = kill_at  # before or after the bytes are removed
    with pytest.raises(Killed):
        await harness.work()
    harness.steps.left = None
    slow.go_on.set()
    with pytest.raises(Unavailable, match="within 30 minutes"):
        await adding
    assert (await harness.there(media_id)).renditions == ()
    await harness.settle()
    assert await objects(harness.public) == {}


async def test_an_interrupted_write_leaves_no_parts(
    harness: RenditionHarness, tmp_path: Path
) -> None:
    """Parts are not served, but may contain private bytes."""
    driver = LocalDriver(tmp_path / "public")
    harness.public.driver = driver
    blob_id = new_id()
    blob = Blob(blob_id, "public", harness.public.key(blob_id), 5, Checksums(0))
    async with harness.database.transaction() as db:
        await blob_queries.reserve(db, blob)
        await db.enqueue(NewJob(JobKind.UNLINK, blob_id))
    part = await driver.open_part(blob.key, await driver.begin(blob.key), PartName(1, 1))
    await part.write([b"bytes"])
    await part.seal()
    assert any(path.is_file() for path in tmp_path.rglob("*"))
    await harness.work()
    assert not any(path.is_file() for path in tmp_path.rglob("*"))
    await driver.close()


NAMES = ("small", "large")
ACTIONS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(NAMES)),
    st.tuples(st.sampled_from(["PUBLIC", "PRIVATE", "delete", "undelete", "purge"])),
    st.tuples(st.sampled_from(["work", "wait"])),
)


async def act(
    harness: RenditionHarness, media_id: str, action: tuple[str, ...], data: bytes
) -> None:
    match action:
        case ("add", name):
            await harness.add(media_id, name, data)
        case ("PUBLIC" | "PRIVATE" as visibility,):
            await harness.show(media_id, visibility)
        case ("delete",):
            await harness.media.delete(ANN, media_id, "")
        case ("undelete",):
            await harness.media.undelete(ANN, media_id)
        case ("purge",):
            await harness.deletions.purge(ANN, media_id)
        case ("work",):
            await harness.work()
        case ("wait",):
            await harness.let_time_pass()


@settings(
    max_examples=examples(25, 100),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(st.tuples(ACTIONS, st.none() | st.integers(0, 12)), max_size=14),
    st.booleans(),
)
async def test_any_sequence_of_actions_and_kills_leaves_the_stores_consistent(
    harness: RenditionHarness, actions: list[tuple[tuple[str, ...], int | None]], public_first: bool
) -> None:
    """Any actions in any order, each of which may be killed at any step."""
    harness = RenditionHarness(harness.database, harness.steps)
    media_id = await harness.new()
    added: dict[str, set[bytes]] = {name: set() for name in NAMES}
    if public_first:
        await harness.show(media_id, "PUBLIC")
    for number, (action, kill_at) in enumerate(actions):
        data = f"{action} {number}".encode()
        if action[0] == "add":
            added[action[1]].add(data)
        harness.steps.left = kill_at
        try:
            await act(harness, media_id, action, data)
        except (Killed, NotFound, FailedPrecondition):
            pass
        finally:
            harness.steps.left = None
        media = await harness.read(media_id)
        # At any moment, the owner finds every rendition as it was added.
        for rendition in media.renditions if media else ():
            found = await content(harness.stores[rendition.blob.store], rendition.blob)
            assert found in added[rendition.name]
    await harness.settle()
    media = await harness.read(media_id)
    renditions = {r.blob.key for r in media.renditions} if media else set()
    originals = {media.blob.key} if media else set()
    public = renditions if media and media.published else set()
    assert (await objects(harness.public)).keys() == public
    assert (await objects(harness.raw)).keys() == originals | (renditions - public)
    rows = await harness.execute("select key, store, reference_count from blobs")
    assert {row["key"] for row in rows} == originals | renditions
    assert all(row["reference_count"] == 1 for row in rows)
    if media:
        await harness.media.delete(ANN, media_id, "")
        await harness.deletions.purge(ANN, media_id)
        await harness.work()
    assert await objects(harness.public) == await objects(harness.raw) == {}
