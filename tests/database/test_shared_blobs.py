"""Media of one tenant with the same bytes share a blob. No bytes are lost that a row names, and no
others are left."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TypeAlias

import pytest
from crc32c import crc32c
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media_service.access.owner import Owner
from media_service.access.principal import Principal
from media_service.blobs import queries as blobs
from media_service.blobs.model import Blob
from media_service.blobs.placing import release
from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.duplicates.sharing import BlobSharing
from media_service.errors import Fault, MediaError
from media_service.ids import new_id
from media_service.jobs.handler import JobHandler
from media_service.jobs.model import Claim, JobKind, JobState
from media_service.jobs.progress import Progress
from media_service.jobs.queries import claimed_jobs
from media_service.media import queries
from media_service.media.model import Kind, MediaState, NewMedia
from media_service.media.versions import queries as versions
from media_service.media.versions.adding import add_version
from media_service.media.versions.service import VersionService
from media_service.reconcile.model import Kind as FindingKind
from media_service.storage.blob_store import BlobStore
from media_service.storage.checksums import Checksums
from tests.support.job_claims import claim as claim_next
from tests.support.killable_renditions import (
    KillableDatabase,
    RenditionHarness,
    Steps,
    content,
    objects,
)
from tests.support.long_form import examples
from tests.support.reconciling import reconcile_renditions

ADMINISTRATOR = Principal("root", administrator=True)
# Two owners without an organization, and two of each of two organizations.
OWNERS = [Owner("user", name, org) for org in ("", "acme", "globex") for name in ("ann", "bob")]
FILES = (b"the same bytes", b"other bytes...")


# The media that exist: their owners, and the bytes of each version.
Model: TypeAlias = dict[str, tuple[Owner, dict[int, bytes]]]


def tenant(owner: Owner) -> str:
    return owner.org_id or owner.id


class HashAndShare(JobHandler):
    """What the first job of a media does about duplicates."""

    kind = JobKind.INGEST

    def __init__(self, database: Database, store: BlobStore) -> None:
        self._database = database
        self._store = store
        self._sharing = BlobSharing(database, store)

    async def run(self, claim: Claim, progress: Progress) -> None:
        async with self._database.connection() as db:
            media = await versions.get(db, claim.subject_id, claim.version)
        if media is not None:
            blob = media.blob
            sha256 = await self._store.sha256(blob.key, blob.size_bytes)
            checksums = replace(blob.checksums, sha256=sha256)
            async with self._database.transaction() as tx:
                await queries.set_sha256(tx, media, sha256)
            await self._sharing.share(
                claim, replace(media, blob=replace(blob, checksums=checksums))
            )
        async with self._database.transaction() as tx:
            locked = await versions.lock(tx, claim.subject_id, claim.version)
            if not await claimed_jobs.finish(tx, claim, JobState.SUCCEEDED) or locked is None:
                return
            await versions.set_state(tx, locked, MediaState.READY)
            current = await queries.get(tx, locked.media_id)
            if current and not locked.current and locked.version > current.version:
                await versions.promote(tx, locked.media_id, locked.version)

    async def give_up(self, claim: Claim, fault: Fault) -> None:
        raise AssertionError(fault.message)


class Catalogue(RenditionHarness):
    """Media in a store, whose first job hashes them and shares their blobs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.handlers = {**self.handlers, JobKind.INGEST: HashAndShare(self.database, self.raw)}

    async def upload(self, owner: Owner, data: bytes) -> str:
        media_id, blob_id = new_id(), new_id()
        key = self.raw.key(blob_id)
        await self.raw.driver.put(key, data)
        blob = Blob(blob_id, "raw", key, len(data), Checksums(crc32c(data)))
        new = NewMedia(media_id, owner, Kind.IMAGE, "image/jpeg", "a.jpg", blob)
        async with self.database.transaction() as db:
            await queries.insert(db, [new])
            await db.enqueue(NewJob(JobKind.INGEST, media_id, owner))
        return media_id

    async def replace(
        self, media_id: str, owner: Owner, data: bytes, model: dict[int, bytes]
    ) -> None:
        """Adds a version, unless the media is deleted."""
        blob_id = new_id()
        key = self.raw.key(blob_id)
        await self.raw.driver.put(key, data)
        blob = Blob(blob_id, "raw", key, len(data), Checksums(crc32c(data)))
        new = NewMedia(media_id, owner, Kind.IMAGE, "image/jpeg", "a.jpg", blob)
        async with self.database.transaction() as tx:
            media = await queries.lock(tx, media_id)
            await blobs.reserve(tx, blob)
            if media is None or media.delete_time is not None:
                await tx.enqueue(NewJob(JobKind.UNLINK, blob_id))
                return
            await blobs.take(tx, blob_id)
            model[await add_version(tx, new, owner)] = data

    async def purge(self, media_id: str) -> None:
        await self.media.delete(ADMINISTRATOR, media_id, "")
        await self.deletions.purge(ADMINISTRATOR, media_id)

    async def work_at_once(self) -> None:
        """Runs the jobs that are due, two at a time."""
        await asyncio.gather(self.work(), self.work())

    async def work(self) -> None:
        while True:
            async with self.database.connection() as db:
                claim = await claim_next(db)
            if claim is None:
                return
            await self.handlers[claim.kind].run(claim, Progress())

    async def named(self) -> dict[str, set[Owner]]:
        """The owners of the media that name each blob, by its key."""
        rows = await self.execute(
            "select b.key, m.org_id, m.owner_id from media_versions v"
            " join blobs b using (blob_id) join media m using (media_id)"
        )
        found = defaultdict(set)
        for row in rows:
            found[row["key"]].add(Owner("user", row["owner_id"], row["org_id"]))
        return found

    async def check(self, stored: Model) -> None:
        """Checks the rows and the store against the model."""
        rows = await self.execute("select media_id::text as id, version from media_versions")
        assert {(row["id"], row["version"]) for row in rows} == {
            (media_id, version) for media_id, (_, model) in stored.items() for version in model
        }
        for media_id, (_, model) in stored.items():
            for version, data in model.items():
                async with self.database.connection() as db:
                    media = await versions.get(db, media_id, version)
                assert media is not None
                assert await content(self.raw, media.blob) == data
                assert media.size_bytes == len(data)
        named = await self.named()
        assert named.keys() == (await objects(self.raw)).keys()
        assert all(len({tenant(owner) for owner in owners}) == 1 for owners in named.values())
        assert not await self.execute(
            "select from blobs b where reference_count <>"
            " (select count(*) from media_versions v where v.blob_id = b.blob_id)"
        )
        assert await reconcile_renditions(self) == []


@pytest.fixture
async def catalogue(database_url: str) -> AsyncIterator[Catalogue]:
    async with KillableDatabase(database_url, Steps()) as database:
        yield Catalogue(database)


async def test_the_same_bytes_are_stored_once_for_each_tenant(catalogue: Catalogue) -> None:
    stored: Model = {}
    for owner in [*OWNERS, *OWNERS]:
        media_id = await catalogue.upload(owner, FILES[0])
        stored[media_id] = (owner, {1: FILES[0]})
        before = await catalogue.there(media_id)
        await catalogue.work()
        after = await catalogue.there(media_id)
        assert replace(after, blob=before.blob, state=before.state, revision=0) == replace(
            before, update_time=after.update_time, revision=0
        )
    assert len(await catalogue.named()) == 4  # ann, bob, acme and globex
    assert len(await objects(catalogue.raw)) == len(stored)  # of the replaced ones, for readers
    await catalogue.settle()
    await catalogue.check(stored)
    for media_id in list(stored):
        await catalogue.purge(media_id)
        del stored[media_id]
        await catalogue.settle()
        await catalogue.check(stored)
    assert await catalogue.execute("select from blobs") == []


async def test_damaged_bytes_are_not_shared(catalogue: Catalogue) -> None:
    """The store has lost some of them since, and nobody has noticed yet."""
    damaged = await catalogue.upload(OWNERS[0], FILES[0])
    await catalogue.work()
    older = (await catalogue.there(damaged)).blob
    await catalogue.raw.driver.delete(older.key)
    await catalogue.raw.driver.put(older.key, FILES[1])
    intact = await catalogue.upload(OWNERS[0], FILES[0])
    await catalogue.settle()
    assert await content(catalogue.raw, (await catalogue.there(intact)).blob) == FILES[0]
    await reconcile_renditions(catalogue)
    assert (await catalogue.there(damaged)).state is MediaState.QUARANTINED
    assert (await catalogue.there(intact)).state is MediaState.READY


async def test_the_damage_of_a_shared_blob_is_found_for_all_of_its_media(
    catalogue: Catalogue,
) -> None:
    twins = [await catalogue.upload(OWNERS[0], FILES[0]) for _ in range(2)]
    await catalogue.settle()
    blob = (await catalogue.there(twins[0])).blob
    await catalogue.raw.driver.delete(blob.key)
    (finding,) = await reconcile_renditions(catalogue)
    assert (finding.kind, set(finding.media_ids)) == (FindingKind.MISSING, set(twins))
    for media_id in twins:
        assert (await catalogue.there(media_id)).state is MediaState.QUARANTINED
    await catalogue.raw.driver.put(blob.key, FILES[0])
    await reconcile_renditions(catalogue)
    for media_id in twins:
        assert (await catalogue.there(media_id)).state is not MediaState.QUARANTINED


ACTIONS = (
    *("delete", "undelete", "purge", "reprocess", "read", "reconcile", "wait"),
    *("replace", "restore", "forget"),
)


@dataclass
class Life:
    """One media, and what is done to it. `stored`: the model."""

    catalogue: Catalogue
    stored: Model
    owner: Owner
    data: bytes
    uploads: int = 0

    async def run(self, actions: Sequence[str]) -> None:
        self.media_id = await self.catalogue.upload(self.owner, self.data)
        self.model = {1: self.data}
        self.stored[self.media_id] = (self.owner, self.model)
        for action in actions:
            with suppress(MediaError):
                await getattr(self, action)()

    async def delete(self) -> None:
        await self.catalogue.media.delete(ADMINISTRATOR, self.media_id, "")

    async def undelete(self) -> None:
        await self.catalogue.media.undelete(ADMINISTRATOR, self.media_id)

    async def purge(self) -> None:
        await self.catalogue.deletions.purge(ADMINISTRATOR, self.media_id)
        del self.stored[self.media_id]

    async def reprocess(self) -> None:
        async with self.catalogue.database.transaction() as tx:
            if await queries.lock(tx, self.media_id):
                await tx.enqueue(NewJob(JobKind.INGEST, self.media_id, self.owner))

    async def replace(self) -> None:
        """Uploads another file, or the same one again, as a new version."""
        self.uploads += 1
        data = FILES[self.uploads % len(FILES)]
        await self.catalogue.replace(self.media_id, self.owner, data, self.model)

    async def restore(self) -> None:
        """The first version."""
        async with self.catalogue.database.connection() as db:
            media = await queries.get(db, self.media_id)
        if media is not None:
            service = VersionService(self.catalogue.database)
            added = await service.restore(ADMINISTRATOR, self.media_id, 1, "")
            if added.version != 1:
                self.model[added.version] = self.model[1]

    async def forget(self) -> None:
        """Deletes the first version, if it is not current."""
        async with self.catalogue.database.transaction() as tx:
            found = await versions.lock(tx, self.media_id, 1)
            if found is not None and not found.current and found.state is MediaState.READY:
                await versions.remove(tx, found)
                await release(tx, found.blob.blob_id)
                del self.model[1]

    async def read(self) -> None:
        for version, data in list(self.model.items()):
            async with self.catalogue.database.connection() as db:
                media = await versions.get(db, self.media_id, version)
            if media is not None:
                assert await content(self.catalogue.raw, media.blob) == data

    async def reconcile(self) -> None:
        await reconcile_renditions(self.catalogue)

    async def wait(self) -> None:
        """Until bytes that nobody names are removed, and the leases of jobs have ended."""
        await self.catalogue.let_time_pass()


@asynccontextmanager
async def working(catalogue: Catalogue) -> AsyncIterator[None]:
    """Runs two workers."""
    ending = False

    async def work() -> None:
        while not ending:
            await catalogue.work()
            await asyncio.sleep(0)

    workers = [asyncio.create_task(work()) for _ in range(2)]
    try:
        yield
    finally:
        ending = True
        await asyncio.gather(*workers)


@settings(
    max_examples=examples(12, 500), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(OWNERS),
            st.sampled_from(FILES),
            st.lists(st.sampled_from(ACTIONS), max_size=6),
        ),
        min_size=2,
        max_size=7,
    )
)
async def test_no_order_of_changes_loses_bytes_or_leaves_any(
    catalogue: Catalogue, lives: Sequence[tuple[Owner, bytes, Sequence[str]]]
) -> None:
    catalogue = Catalogue(catalogue.database)
    await catalogue.execute("truncate media, blobs, jobs cascade")
    stored: Model = {}
    async with working(catalogue):
        await asyncio.gather(
            *(Life(catalogue, stored, owner, data).run(actions) for owner, data, actions in lives)
        )
    await catalogue.settle()
    await catalogue.check(stored)
    for media_id in list(stored):
        await catalogue.purge(media_id)
    await catalogue.settle()
    await catalogue.check({})
