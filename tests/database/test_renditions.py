"""Renditions are in the store that the visibility of their media requires, whatever happens."""

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
    House,
    KillableDatabase,
    Killed,
    Steps,
    WaitingDriver,
    content,
    objects,
)


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    steps = Steps()
    async with KillableDatabase(database_url, steps) as database:
        yield House(database, steps)


async def where(house: House, media_id: str) -> dict[str, str]:
    """The store of each rendition; its bytes must be there."""
    media = await house.there(media_id)
    for rendition in media.renditions:
        assert await content(house.stores[rendition.blob.store], rendition.blob)
    return {r.name: r.blob.store for r in media.renditions}


async def test_a_rendition_lies_with_the_originals_until_its_media_is_public(house: House) -> None:
    media_id = await house.new()
    await house.add(media_id, "small", b"small image")
    assert await where(house, media_id) == {"small": "raw"}
    await house.show(media_id, "PUBLIC")
    await house.work()
    assert await where(house, media_id) == {"small": "public"}
    await house.settle()
    assert list((await objects(house.public)).values()) == [b"small image"]
    assert list((await objects(house.raw)).values()) == [b"the original"]
    await house.show(media_id, "PRIVATE")
    await house.work()
    assert await where(house, media_id) == {"small": "raw"}
    assert await objects(house.public) == {}


async def test_no_job_is_left_of_a_rendition_that_was_kept(house: House) -> None:
    """The one that would have removed its bytes."""
    media_id = await house.new()
    await house.add(media_id, "small", b"small image")
    assert await house.execute("select kind, state from jobs") == []


async def test_a_deleted_rendition_is_gone_from_its_store(house: House) -> None:
    media_id = await house.new()
    await house.show(media_id, "PUBLIC")
    for name in ("one", "two"):
        await house.add(media_id, name, name.encode())
    await house.deletions.delete_rendition(ANN, media_id, "one", "")
    await house.work()
    assert list((await objects(house.public)).values()) == [b"two"]
    assert await where(house, media_id) == {"two": "public"}
    blobs = await house.execute("select reference_count, store from blobs order by store")
    assert [(row["store"], row["reference_count"]) for row in blobs] == [("public", 1), ("raw", 1)]


async def test_a_rendition_that_is_deleted_while_it_moves_leaves_nothing(house: House) -> None:
    media_id = await house.new()
    await house.add(media_id, "small", b"small image")
    await house.show(media_id, "PUBLIC")
    slow = house.public.driver = WaitingDriver(house.steps)
    moving = asyncio.create_task(house.work())
    await slow.stored.wait()
    await house.deletions.delete_rendition(ANN, media_id, "small", "")
    slow.go_on.set()
    await moving
    await house.settle()
    assert await objects(house.public) == {}
    assert list((await objects(house.raw)).values()) == [b"the original"]
    assert len(await house.execute("select 1 from blobs")) == 1


async def test_two_jobs_cannot_both_have_the_last_place(house: House) -> None:
    media_id = await house.new()
    for n in range(MAX_RENDITIONS - 1):
        new = NewRendition(f"r-{n}", "image/webp", "negate", 1)
        await house.renditions.add(media_id, new, b"image")
    added = await asyncio.gather(
        *(
            house.renditions.add(media_id, NewRendition(name, "image/webp", "negate", 1), b"last")
            for name in ("a", "b")
        ),
        return_exceptions=True,
    )
    refusals = [one for one in added if isinstance(one, FailedPrecondition)]
    assert [one.reason for one in refusals] == [Reason.RENDITION_LIMIT_EXCEEDED]
    assert len((await house.there(media_id)).renditions) == MAX_RENDITIONS
    await house.settle()
    assert list((await objects(house.raw)).values()).count(b"last") == 1


async def test_a_rendition_of_a_public_media_is_public_at_once(house: House) -> None:
    media_id = await house.new()
    await house.show(media_id, "PUBLIC")
    await house.add(media_id, "small", b"small image")
    assert await where(house, media_id) == {"small": "public"}


async def test_a_file_becomes_a_rendition_with_its_checksums(house: House, tmp_path: Path) -> None:
    media_id = await house.new()
    file = tmp_path / "made"
    file.write_bytes(b"123456789")
    before = await house.there(media_id)
    await house.renditions.add(media_id, NewRendition("small", "image/webp"), file)
    media = await house.there(media_id)
    (rendition,) = media.renditions
    assert rendition.content_type == "image/webp"
    assert rendition.blob.size_bytes == 9
    assert rendition.blob.checksums.crc32c == 0xE3069283
    assert rendition.blob.checksums.sha256 is not None
    assert media.etag != before.etag


async def test_a_new_rendition_takes_the_place_of_the_older_one(house: House) -> None:
    media_id = await house.new()
    await house.add(media_id, "small", b"first")
    await house.add(media_id, "small", b"second")
    await house.add(media_id, "large", b"another")
    await house.settle()
    assert sorted((await objects(house.raw)).values()) == [b"another", b"second", b"the original"]


@pytest.mark.parametrize("name", ["", "Small", "a/b", "../a", "a" * 65, ".a"])
async def test_a_name_that_is_no_address_is_refused_and_leaves_nothing(
    house: House, name: str
) -> None:
    media_id = await house.new()
    with pytest.raises(Exception, match="renditions_name_check"):
        await house.add(media_id, name, b"bytes")
    await house.settle()
    assert list((await objects(house.raw)).values()) == [b"the original"]


async def test_there_are_no_renditions_of_what_is_not_there(house: House) -> None:
    with pytest.raises(NotFound, match="no such media"):
        await house.add("018f0000-0000-7000-8000-000000000000", "small", b"bytes")


@pytest.mark.parametrize(("first", "then"), [("PUBLIC", "PRIVATE"), ("PRIVATE", "PUBLIC")])
async def test_visibility_may_change_while_a_rendition_is_added(
    house: House, first: str, then: str
) -> None:
    media_id = await house.new()
    await house.show(media_id, first)
    slow = WaitingDriver(house.steps)
    (house.public if first == "PUBLIC" else house.raw).driver = slow
    adding = asyncio.create_task(house.add(media_id, "small", b"small image"))
    await slow.stored.wait()
    await house.show(media_id, then)
    await house.work()
    slow.go_on.set()
    await adding
    await (house.settle() if then == "PUBLIC" else house.work())
    store = "public" if then == "PUBLIC" else "raw"
    assert await where(house, media_id) == {"small": store}
    other = house.raw if then == "PUBLIC" else house.public
    assert b"small image" not in (await objects(other)).values()


@pytest.mark.parametrize("end", ["purge", "delete"])
async def test_a_media_may_go_while_a_rendition_is_added(house: House, end: str) -> None:
    media_id = await house.new()
    await house.show(media_id, "PUBLIC")
    slow = house.public.driver = WaitingDriver(house.steps)
    adding = asyncio.create_task(house.add(media_id, "small", b"small image"))
    await slow.stored.wait()
    await house.media.delete(ANN, media_id, "")
    if end == "purge":
        await house.deletions.purge(ANN, media_id)
    slow.go_on.set()
    if end == "purge":
        with pytest.raises(NotFound):
            await adding
    else:
        await adding
    await house.work()
    assert await objects(house.public) == {}
    assert (b"small image" in (await objects(house.raw)).values()) == (end == "delete")


async def test_visibility_may_change_back_while_its_job_copies(house: House) -> None:
    media_id = await house.new()
    await house.add(media_id, "small", b"small image")
    await house.show(media_id, "PUBLIC")
    slow = house.public.driver = WaitingDriver(house.steps)
    working = asyncio.create_task(house.work())
    await slow.stored.wait()
    await house.show(media_id, "PRIVATE")
    slow.go_on.set()
    await working
    await house.work()
    assert await where(house, media_id) == {"small": "raw"}
    assert await objects(house.public) == {}


async def test_a_rendition_may_be_replaced_while_it_is_copied(house: House) -> None:
    media_id = await house.new()
    await house.add(media_id, "small", b"older")
    await house.show(media_id, "PUBLIC")
    slow = house.public.driver = WaitingDriver(house.steps)
    working = asyncio.create_task(house.work())
    await slow.stored.wait()
    adding = asyncio.create_task(house.add(media_id, "small", b"newer"))
    slow.go_on.set()
    await asyncio.gather(working, adding)
    await house.settle()
    assert list((await objects(house.public)).values()) == [b"newer"]
    assert list((await objects(house.raw)).values()) == [b"the original"]


async def test_two_jobs_of_one_media_do_not_harm_each_other(house: House) -> None:
    media_id = await house.new()
    for name in ("small", "medium", "large"):
        await house.add(media_id, name, name.encode())
    for visibility in ("PUBLIC", "PRIVATE", "PUBLIC"):
        await house.show(media_id, visibility)
    await asyncio.gather(*(house.work() for _ in range(3)))
    await house.settle()
    assert set((await where(house, media_id)).values()) == {"public"}
    assert sorted((await objects(house.public)).values()) == [b"large", b"medium", b"small"]
    assert list((await objects(house.raw)).values()) == [b"the original"]


async def test_one_that_is_lost_does_not_keep_the_others(house: House) -> None:
    media_id = await house.new()
    await house.show(media_id, "PUBLIC")
    await house.add(media_id, "a-lost", b"lost")
    await house.add(media_id, "small", b"small image")
    await house.work()
    lost, _ = (await house.there(media_id)).renditions
    await house.public.driver.delete(lost.blob.key)
    await house.show(media_id, "PRIVATE")
    async with house.database.connection() as db:
        claim = await claim_next(db)
    assert claim is not None
    with pytest.raises(Exception, match="missing"):
        await house.handlers[JobKind.PUBLISH].run(claim, Progress())
    await house.handlers[JobKind.PUBLISH].give_up(claim, Fault(Reason.BLOB_MISSING, "gone"))
    await house.work()
    assert await objects(house.public) == {}
    stores = {r.name: r.blob.store for r in (await house.there(media_id)).renditions}
    assert stores == {"a-lost": "public", "small": "raw"}


@pytest.mark.parametrize("kind", [JobKind.PUBLISH, JobKind.UNLINK])
async def test_what_was_given_up_is_tried_again_later(house: House, kind: JobKind) -> None:
    """A store that is out for an hour must not make what is private public for good."""
    media_id = await house.new()
    await house.show(media_id, "PUBLIC")
    await house.add(media_id, "small", b"small image")
    await house.work()
    await house.show(media_id, "PRIVATE")
    async with house.database.connection() as db:
        while (claim := await claim_next(db)) and claim.kind is not kind:
            await house.handlers[claim.kind].run(claim, Progress())
    assert claim is not None
    await house.handlers[kind].give_up(claim, Fault(Reason.STORAGE_UNAVAILABLE, "out"))
    await house.settle()
    assert await objects(house.public) == {}


async def test_a_deleted_media_is_not_public_until_it_is_undeleted(house: House) -> None:
    media_id = await house.new()
    await house.show(media_id, "PUBLIC")
    await house.add(media_id, "small", b"small image")
    await house.media.delete(ANN, media_id, "")
    await house.work()
    assert await where(house, media_id) == {"small": "raw"}
    assert await objects(house.public) == {}
    await house.media.undelete(ANN, media_id)
    await house.work()
    assert await where(house, media_id) == {"small": "public"}


async def test_who_has_just_found_a_rendition_can_read_it_while_it_moves(house: House) -> None:
    """Unless it is to be private: then it goes at once."""
    media_id = await house.new()
    await house.add(media_id, "small", b"small image")
    found = (await house.there(media_id)).renditions[0].blob
    await house.show(media_id, "PUBLIC")
    await house.work()
    assert await content(house.raw, found) == b"small image"
    await house.settle()
    assert found.key not in await objects(house.raw)
    replaced = (await house.there(media_id)).renditions[0].blob
    await house.add(media_id, "small", b"another")
    await house.work()
    assert await content(house.public, replaced) == b"small image"


async def test_a_purge_takes_the_renditions_along(house: House) -> None:
    media_id = await house.new()
    await house.show(media_id, "PUBLIC")
    await house.add(media_id, "small", b"small image")
    await house.media.delete(ANN, media_id, "")
    await house.deletions.purge(ANN, media_id)
    await house.work()
    assert await objects(house.public) == {}
    assert await objects(house.raw) == {}
    assert await house.execute("select from blobs") == []


async def test_what_ceases_to_be_public_is_not_found_from_that_moment(house: House) -> None:
    """Before any job has run."""
    media_id = await house.new()
    await house.show(media_id, "PUBLIC")
    await house.add(media_id, "small", b"small image")
    public = PublicReader(house.database)
    key = (await house.there(media_id)).renditions[0].blob.key
    assert (await public.get(key))[1].name == "small"
    await house.show(media_id, "PRIVATE")
    with pytest.raises(NotFound):
        await public.get(key)
    await house.show(media_id, "PUBLIC")
    assert (await public.get(key))[1].name == "small"
    async with house.database.transaction() as db:
        await queries.set_state(db, media_id, MediaState.QUARANTINED)
    with pytest.raises(NotFound):
        await public.get(key)


async def test_a_key_of_the_private_store_is_not_public(house: House) -> None:
    media_id = await house.new()
    await house.add(media_id, "small", b"small image")
    await house.show(media_id, "PUBLIC")
    media = await house.there(media_id)
    public = PublicReader(house.database)
    for key in (media.blob.key, media.renditions[0].blob.key, "", "blobs", "\0"):
        with pytest.raises(NotFound):
            await public.get(key)


async def test_bytes_whose_removal_has_begun_are_not_taken_any_more(house: House) -> None:
    """A writer that slept through its time finds nothing, and leaves nothing."""
    media_id = await house.new()
    await house.show(media_id, "PUBLIC")
    slow = house.public.driver = WaitingDriver(house.steps)
    adding = asyncio.create_task(house.add(media_id, "small", b"small image"))
    await slow.stored.wait()
    await house.settle()
    assert await objects(house.public) == {}
    await MemoryDriver.put(slow, slow.key, b"small image")  # what was still on its way
    slow.go_on.set()
    with pytest.raises(Unavailable, match="within 30 minutes"):
        await adding
    assert await objects(house.public) == {}
    assert (await house.there(media_id)).renditions == ()


@pytest.mark.parametrize("kill_at", [0, 1])
async def test_a_removal_that_died_halfway_is_not_overtaken(house: House, kill_at: int) -> None:
    """Else a rendition would refer to bytes that are gone, or just go."""
    media_id = await house.new()
    await house.show(media_id, "PUBLIC")
    await house.work()
    slow = house.public.driver = WaitingDriver(house.steps)
    adding = asyncio.create_task(house.add(media_id, "small", b"small image"))
    await slow.stored.wait()
    await house.let_time_pass()
    house.steps.left = kill_at  # before, or after, the bytes are removed
    with pytest.raises(Killed):
        await house.work()
    house.steps.left = None
    slow.go_on.set()
    with pytest.raises(Unavailable, match="within 30 minutes"):
        await adding
    assert (await house.there(media_id)).renditions == ()
    await house.settle()
    assert await objects(house.public) == {}


async def test_a_write_that_died_halfway_leaves_no_parts(house: House, tmp_path: Path) -> None:
    """Nor would they be seen: but they are of what may be private."""
    driver = LocalDriver(tmp_path / "public")
    house.public.driver = driver
    blob_id = new_id()
    blob = Blob(blob_id, "public", house.public.key(blob_id), 5, Checksums(0))
    async with house.database.transaction() as db:
        await blob_queries.reserve(db, blob)
        await db.enqueue(NewJob(JobKind.UNLINK, blob_id))
    part = await driver.open_part(blob.key, await driver.begin(blob.key), PartName(1, 1))
    await part.write([b"bytes"])
    await part.seal()
    assert any(path.is_file() for path in tmp_path.rglob("*"))
    await house.work()
    assert not any(path.is_file() for path in tmp_path.rglob("*"))
    await driver.close()


NAMES = ("small", "large")
ACTIONS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(NAMES)),
    st.tuples(st.sampled_from(["PUBLIC", "PRIVATE", "delete", "undelete", "purge"])),
    st.tuples(st.sampled_from(["work", "wait"])),
)


async def act(house: House, media_id: str, action: tuple[str, ...], data: bytes) -> None:
    match action:
        case ("add", name):
            await house.add(media_id, name, data)
        case ("PUBLIC" | "PRIVATE" as visibility,):
            await house.show(media_id, visibility)
        case ("delete",):
            await house.media.delete(ANN, media_id, "")
        case ("undelete",):
            await house.media.undelete(ANN, media_id)
        case ("purge",):
            await house.deletions.purge(ANN, media_id)
        case ("work",):
            await house.work()
        case ("wait",):
            await house.let_time_pass()


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(st.tuples(ACTIONS, st.none() | st.integers(0, 12)), max_size=14),
    st.booleans(),
)
async def test_whatever_happens_and_dies_the_stores_hold_what_they_should(
    house: House, actions: list[tuple[tuple[str, ...], int | None]], public_first: bool
) -> None:
    """Any actions in any order, each killed at any of its steps or not."""
    house = House(house.database, house.steps)
    media_id = await house.new()
    added: dict[str, set[bytes]] = {name: set() for name in NAMES}
    if public_first:
        await house.show(media_id, "PUBLIC")
    for number, (action, kill_at) in enumerate(actions):
        data = f"{action} {number}".encode()
        if action[0] == "add":
            added[action[1]].add(data)
        house.steps.left = kill_at
        try:
            await act(house, media_id, action, data)
        except (Killed, NotFound, FailedPrecondition):
            pass
        finally:
            house.steps.left = None
        media = await house.read(media_id)
        # At any moment the owner finds every rendition, as it was added.
        for rendition in media.renditions if media else ():
            found = await content(house.stores[rendition.blob.store], rendition.blob)
            assert found in added[rendition.name]
    await house.settle()
    media = await house.read(media_id)
    renditions = {r.blob.key for r in media.renditions} if media else set()
    originals = {media.blob.key} if media else set()
    public = renditions if media and media.published else set()
    assert (await objects(house.public)).keys() == public
    assert (await objects(house.raw)).keys() == originals | (renditions - public)
    rows = await house.execute("select key, store, reference_count from blobs")
    assert {row["key"] for row in rows} == originals | renditions
    assert all(row["reference_count"] == 1 for row in rows)
    if media:
        await house.media.delete(ANN, media_id, "")
        await house.deletions.purge(ANN, media_id)
        await house.work()
    assert await objects(house.public) == await objects(house.raw) == {}
