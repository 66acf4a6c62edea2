"""The search for near duplicates finds what comparing all pairs finds, in one tenant."""

import random
from collections.abc import AsyncIterator, Sequence

import pytest

from media_service.access.owner import Owner
from media_service.access.policy import scope
from media_service.access.principal import Principal
from media_service.blobs.model import Blob
from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.inspection import HASHES, MOMENTS
from media_service.codecs.sandbox.forks import ForkServer
from media_service.db.database import Database
from media_service.duplicates import queries
from media_service.duplicates.model import MAX_DISTANCE
from media_service.duplicates.periodic_tasks import compare
from media_service.ids import new_id
from media_service.media import queries as media_queries
from media_service.media.model import Kind, NewMedia
from media_service.renditions.hashing import hash_existing
from media_service.renditions.thumbnails import ThumbnailRenderer
from media_service.storage.blob_store import BlobStore
from media_service.storage.checksums import Checksums
from media_service.storage.drivers.memory import MemoryDriver
from tests.support.media.photos import HEIGHT, WIDTH, jpeg_of, photo

ADMINISTRATOR = Principal("root", administrator=True)
OWNERS = [Owner("user", name, org) for org in ("", "acme") for name in ("ann", "bob")]
FAMILIES, RELATIVES, CROPS = 6, 8, 5
# Between whole images, every pair up to this distance is found.
CERTAIN = 31


def tenant(owner: Owner) -> str:
    return owner.org_id or owner.id


def changed(hash_: int, bits: int) -> int:
    """A hash that differs in so many bits."""
    for bit in random.sample(range(256), bits):
        hash_ ^= 1 << bit
    return hash_


async def added(
    database: Database, owner: Owner, data: bytes = b"bytes", kind: Kind = Kind.IMAGE
) -> str:
    media_id = new_id()
    known = Blob(media_id, "raw", BlobStore.key(media_id), len(data), Checksums(0))
    new = NewMedia(media_id, owner, kind, "image/jpeg", "a.jpg", known)
    async with database.transaction() as tx:
        await media_queries.insert(tx, [new])
    return media_id


def apart(a: Sequence[int], b: Sequence[int]) -> int:
    return min(
        *((a[0] ^ each).bit_count() for each in b), *((b[0] ^ each).bit_count() for each in a)
    )


async def test_the_search_finds_what_comparing_all_pairs_finds(database: Database) -> None:
    random.seed(1)
    known: dict[str, tuple[Owner, list[int]]] = {}
    for _ in range(FAMILIES):
        ancestor = random.getrandbits(256)
        for owner in OWNERS * (RELATIVES // len(OWNERS)):
            whole = changed(ancestor, random.randint(0, 30))  # noqa: S311
            crops = [random.getrandbits(256) for _ in range(CROPS)]
            crops[0] = changed(ancestor, random.randint(0, 30))  # noqa: S311
            media_id = await added(database, owner)
            known[media_id] = (owner, [whole, *crops])
            async with database.connection() as db:
                await queries.record(db, media_id, [f"{each:064x}" for each in known[media_id][1]])
    found_pairs, pairs = set(), set()
    for media_id, (owner, hashes) in known.items():
        async with database.connection() as db:
            found = dict(await queries.similar(db, scope(ADMINISTRATOR), media_id, 1000))
        for other_id, (other, others) in known.items():
            if other_id == media_id:
                continue
            distance, of_wholes = apart(hashes, others), (hashes[0] ^ others[0]).bit_count()
            same = tenant(owner) == tenant(other)
            if other_id in found:
                assert same
                assert found[other_id] == distance
                assert distance <= MAX_DISTANCE
            if same and of_wholes <= CERTAIN:
                assert other_id in found
            if same and distance <= MAX_DISTANCE:
                pairs.add(frozenset((media_id, other_id)))
                if other_id in found:
                    found_pairs.add(frozenset((media_id, other_id)))
    assert len(found_pairs) >= 0.95 * len(pairs) > 20


async def test_videos_are_near_if_most_of_their_moments_are(database: Database) -> None:
    random.seed(5)
    moments = [[random.getrandbits(256) for _ in range(HASHES)] for _ in range(MOMENTS)]
    original = await added(database, OWNERS[0], kind=Kind.VIDEO)
    expected = {}
    async with database.connection() as db:
        await queries.record(db, original, as_text(moments))
        for _ in range(40):
            copy: list[list[int] | None] = []
            distances = []
            for moment in moments:
                if random.random() < 0.2:  # noqa: S311 - nothing to compare
                    copy.append(None)
                    continue
                bits = random.randint(0, 60)  # noqa: S311
                distances.append(bits)
                copy.append([changed(moment[0], bits), *map(random.getrandbits, [256] * CROPS)])
            media_id = await added(database, OWNERS[0], kind=Kind.VIDEO)
            await queries.record(db, media_id, as_text(copy))
            if len(distances) > 1:
                expected[media_id] = sorted(distances)[-(len(distances) * -6 // 10) - 1]
        await db.execute("update media set info = jsonb_build_object('duration_seconds', 9)")
        found = dict(await queries.similar(db, scope(ADMINISTRATOR), original, 1000))
    near = {each: distance for each, distance in expected.items() if distance <= MAX_DISTANCE}
    assert found.items() <= near.items()
    assert len(found) >= 0.95 * len(near) > 5


def as_text(moments: Sequence[Sequence[int] | None]) -> list[str | None]:
    return [
        text
        for moment in moments
        for text in ([None] * HASHES if moment is None else [f"{each:064x}" for each in moment])
    ]


async def test_a_media_that_changes_its_tenant_is_compared_there(database: Database) -> None:
    ann, bob = OWNERS[:2]
    hashes = [f"{random.getrandbits(256):064x}"]
    mine, his, moved = [await added(database, owner) for owner in (ann, bob, bob)]
    async with database.connection() as db:
        for media_id in (mine, his, moved):
            await queries.record(db, media_id, hashes)
    assert await pairs_after_comparing(database) == {(his, moved)}
    async with database.transaction() as tx:
        await media_queries.move(tx, moved, ann, "")
    assert await pairs_after_comparing(database) == {(mine, moved)}
    async with database.connection() as db:
        await media_queries.remove(db, mine)
    assert await pairs_after_comparing(database) == set()


async def pairs_after_comparing(database: Database) -> set[tuple[str, str]]:
    async for _ in compare(database):
        pass
    async with database.connection() as db:
        rows = await db.execute("select media_id::text as a, other_id::text as b from duplicates")
        return {(row["a"], row["b"]) async for row in rows}


@pytest.fixture
async def thumbnails(fork_server: ForkServer) -> AsyncIterator[ThumbnailRenderer]:
    async with ImageRenderer(fork_server, 1, 1_000_000, 1 << 26) as renderer:
        yield ThumbnailRenderer(renderer, {})


async def test_media_of_earlier_releases_are_hashed(
    database: Database, thumbnails: ThumbnailRenderer
) -> None:
    store = BlobStore("raw", MemoryDriver())
    data = jpeg_of(photo(1))
    intact, lost = [await added(database, OWNERS[0], data) for _ in range(2)]
    await store.driver.put(store.key(intact), data)
    async with database.connection() as db:
        info = f'{{"width": {WIDTH}, "height": {HEIGHT}}}'
        await db.execute("update media set state = 'READY', info = %s::jsonb", (info,))
        await db.execute(
            "insert into fingerprints (media_id, hashes, bands, hashed)"
            " select media_id, '{}', '{}', false from media"
        )
    counts = [count async for count in hash_existing(database, {"raw": store}, thumbnails)]
    assert counts == [1]
    async with database.connection() as db:
        rows = await db.execute(
            "select media_id::text as id, cardinality(hashes) as count, hashed"
            " from fingerprints order by media_id"
        )
        found = {row["id"]: (row["count"], row["hashed"]) async for row in rows}
    assert found == {intact: (6, True), lost: (0, False)}
