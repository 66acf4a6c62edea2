"""Collections: order, nesting, sharing, smart ones."""

import asyncio
from random import Random

from mediaservice.v1 import media_pb2, media_service_pb2

from media_service.db.database import Database
from media_service.search.periodic_tasks import write_all_due
from tests.support.media.small_files import jpeg
from tests.support.rpc import batches, catalogue, collections
from tests.support.rpc.batches import add_media
from tests.support.rpc.server import Caller, Running, refused, unknown_id
from tests.support.rpc.share_links import share, visitor
from tests.support.rpc.sharing import add_project, create_project, grant, revoke


async def test_a_collection_keeps_the_order_in_which_media_are_put(
    service: Running, ann: Caller
) -> None:
    """Random changes agree with a list."""
    random = Random(17)  # noqa: S311
    ids = await add_media(service, 40)
    album = await collections.create(ann, "Summer", description="At the sea")
    expected: list[str] = []
    for number in range(60):
        some = random.sample(ids, random.randint(1, 5))
        before = random.choice(ids) if number % 3 else ""
        if number % 5 == 4:
            await collections.take_out(ann, album.collection_id, some)
            expected = [each for each in expected if each not in some]
            continue
        await collections.add(ann, album.collection_id, some, before)
        expected = [each for each in expected if each not in some]
        at = expected.index(before) if before in expected else len(expected)
        expected[at:at] = some
    assert await collections.media(ann, album.collection_id, 7) == expected
    # Always before the same one, until there is no room between two.
    first, last = ids[0], ids[1]
    await collections.add(ann, album.collection_id, [first, last])
    for each in ids[2:30]:
        await collections.add(ann, album.collection_id, [each], last)
    assert (await collections.media(ann, album.collection_id, 50))[-30:] == [
        first,
        *ids[2:30],
        last,
    ]


async def test_a_collection_is_created_changed_and_deleted(ann: Caller, bob: Caller) -> None:
    media = await ann.store(jpeg())
    album = await collections.create(ann, "Summer")
    assert await collections.get(ann, album.collection_id) == album
    assert (album.owner.id, album.title, album.filter) == ("ann", "Summer", "")
    changed = await collections.update(
        ann,
        [],
        collection_id=album.collection_id.upper(),
        title="Winter",
        cover_media_id=media.media_id,
        etag=album.etag,
    )
    assert (changed.title, changed.cover_media_id) == ("Winter", media.media_id)
    assert changed.etag != album.etag
    stale = collections.update(ann, ["title"], collection_id=album.collection_id, etag=album.etag)
    assert (await refused(stale)).reason == "ETAG_MISMATCH"
    others = await bob.store(jpeg())
    hidden = collections.update(
        ann, [], collection_id=album.collection_id, cover_media_id=others.media_id
    )
    assert (await refused(hidden)).reason == "MEDIA_NOT_FOUND"
    cleared = await collections.update(ann, ["cover_media_id"], collection_id=album.collection_id)
    assert cleared.cover_media_id == ""
    assert await collections.listed(ann) == ["Winter"]
    for call in (
        collections.get(bob, album.collection_id),
        collections.update(bob, ["title"], collection_id=album.collection_id),
        collections.delete(bob, album.collection_id),
        collections.add(bob, album.collection_id, [others.media_id]),
        collections.take_out(bob, album.collection_id, [media.media_id]),
        collections.media(bob, album.collection_id),
        collections.get(ann, unknown_id()),
    ):
        assert (await refused(call)).reason == "COLLECTION_NOT_FOUND"
    await collections.delete(ann, album.collection_id)
    assert (await refused(collections.get(ann, album.collection_id))).reason == (
        "COLLECTION_NOT_FOUND"
    )
    assert await catalogue.get(ann, media.media_id) == media


async def test_a_shared_collection_shares_what_its_members_could_share(
    ann: Caller, bob: Caller, service: Running
) -> None:
    cat = await service.caller("cat")
    album = await collections.create(ann, "Party")
    album_id = album.collection_id
    mine, readable = await ann.store(jpeg()), await cat.store(jpeg())
    await grant(cat, f"media:{readable.media_id}", "user:ann", "VIEWER")
    await collections.add(ann, album_id, [mine.media_id, readable.media_id])
    assert (await refused(catalogue.get(bob, mine.media_id))).reason == "MEDIA_NOT_FOUND"
    await grant(ann, f"collection:{album_id}", "user:bob", "EDITOR")
    assert await collections.listed(bob) == ["Party"]
    assert await collections.media(bob, album_id) == [mine.media_id]
    assert await collections.media(ann, album_id) == [mine.media_id, readable.media_id]
    assert (await catalogue.get(bob, mine.media_id)).media_id == mine.media_id
    assert await bob.content(mine.media_id) == jpeg()
    change = catalogue.update(bob, ["title"], media_id=mine.media_id, title="x")
    assert (await refused(change)).reason == "ROLE_REQUIRED"
    # What the editor adds is shared with the owner.
    bobs = await bob.store(jpeg())
    await collections.add(bob, album_id, [bobs.media_id], mine.media_id)
    assert await collections.media(ann, album_id) == [
        bobs.media_id,
        mine.media_id,
        readable.media_id,
    ]
    assert (await catalogue.get(ann, bobs.media_id)).owner.id == "bob"
    assert (await refused(collections.delete(bob, album_id))).reason == "ROLE_REQUIRED"
    await collections.take_out(bob, album_id, [bobs.media_id])
    assert (await refused(catalogue.get(ann, bobs.media_id))).reason == "MEDIA_NOT_FOUND"
    await revoke(ann, f"collection:{album_id}", "user:bob")
    assert (await refused(catalogue.get(bob, mine.media_id))).reason == "MEDIA_NOT_FOUND"
    assert await collections.listed(bob) == []


async def test_grants_apply_to_the_collections_in_a_collection(ann: Caller, bob: Caller) -> None:
    outer = await collections.create(ann, "Outer")
    inner = await collections.create(ann, "Inner", parent_id=outer.collection_id)
    media = await ann.store(jpeg())
    await collections.add(ann, inner.collection_id, [media.media_id])
    await grant(ann, f"collection:{inner.collection_id}", "user:bob", "VIEWER")
    assert (await collections.get(bob, inner.collection_id)).parent_id == ""
    await revoke(ann, f"collection:{inner.collection_id}", "user:bob")
    await grant(ann, f"collection:{outer.collection_id}", "user:bob", "VIEWER")
    seen = await collections.get(bob, inner.collection_id)
    assert seen.parent_id == outer.collection_id
    assert await collections.listed(bob) == ["Inner", "Outer"]
    assert await collections.listed(bob, parent_id=outer.collection_id) == ["Inner"]
    assert (await catalogue.get(bob, media.media_id)).media_id == media.media_id
    await collections.update(ann, ["parent_id"], collection_id=inner.collection_id)
    assert (await refused(catalogue.get(bob, media.media_id))).reason == "MEDIA_NOT_FOUND"
    assert await collections.listed(bob) == ["Outer"]


async def test_collections_make_no_cycle_and_are_not_too_deep(ann: Caller) -> None:
    path = [await collections.create(ann, "1")]
    for level in range(2, 6):
        parent_id = path[-1].collection_id
        path.append(await collections.create(ann, str(level), parent_id=parent_id))
    ids = [each.collection_id for each in path]
    deeper = await refused(collections.create(ann, "6", parent_id=ids[-1]))
    assert (deeper.reason, deeper.metadata) == ("COLLECTION_TOO_DEEP", {"max_depth": "5"})
    for parent_id in (ids[0], ids[4]):
        call = collections.update(ann, ["parent_id"], collection_id=ids[0], parent_id=parent_id)
        assert (await refused(call)).reason == "COLLECTION_CYCLE"
    other = await collections.create(ann, "other")
    call = collections.update(
        ann, ["parent_id"], collection_id=ids[0], parent_id=other.collection_id
    )
    assert (await refused(call)).reason == "COLLECTION_TOO_DEEP"
    await collections.update(
        ann, ["parent_id"], collection_id=ids[1], parent_id=other.collection_id
    )
    assert (await refused(collections.delete(ann, ids[1]))).reason == "COLLECTION_NOT_EMPTY"
    assert await collections.listed(ann, parent_id=other.collection_id) == ["2"]


async def test_moves_at_the_same_time_make_no_cycle(service: Running, ann: Caller) -> None:
    for _ in range(5):
        one, other = [await collections.create(ann, title) for title in ("one", "other")]
        moves = [
            collections.update(
                ann,
                ["parent_id"],
                collection_id=first.collection_id,
                parent_id=second.collection_id,
            )
            for first, second in ((one, other), (other, one))
        ]
        done = await asyncio.gather(*moves, return_exceptions=True)
        assert sum(isinstance(each, collections.Collection) for each in done) == 1


async def test_a_smart_collection_shows_each_reader_what_they_may_see(
    ann: Caller, bob: Caller
) -> None:
    smart = await collections.create(ann, "Five stars", filter="rating=5")
    ids = [(await ann.store(jpeg())).media_id for _ in range(3)]
    bobs = (await bob.store(jpeg())).media_id
    for owner, id_ in ((ann, ids[0]), (ann, ids[2]), (bob, bobs)):
        await catalogue.update(owner, ["rating"], media_id=id_, rating=5)
    await grant(ann, f"collection:{smart.collection_id}", "user:bob", "VIEWER")
    assert await collections.media(ann, smart.collection_id, 1) == [ids[2], ids[0]]
    assert await collections.media(bob, smart.collection_id) == [bobs]
    full = await refused(collections.add(ann, smart.collection_id, ids))
    assert full.reason == "COLLECTION_KIND"
    cleared = collections.update(ann, ["filter"], collection_id=smart.collection_id)
    assert (await refused(cleared)).reason == "COLLECTION_KIND"
    await collections.update(ann, [], collection_id=smart.collection_id, filter="rating=0")
    assert await collections.media(ann, smart.collection_id) == [ids[1]]
    invalid = collections.update(ann, [], collection_id=smart.collection_id, filter="rating~5")
    assert (await refused(invalid)).reason == "INVALID_FILTER"


async def test_members_of_a_project_have_their_roles_on_its_collections(
    service: Running, ann: Caller, bob: Caller
) -> None:
    await add_project(service, "team")
    album = await collections.create(ann, "Team", project_id="team")
    media = await ann.store(jpeg())
    await collections.add(ann, album.collection_id, [media.media_id])
    refusal = await refused(collections.create(bob, "Mine", project_id="team"))
    assert refusal.reason == "PROJECT_NOT_FOUND"
    await grant(ann, "project:team", "user:bob", "EDITOR")
    assert await collections.listed(bob, project_id="team") == ["Team"]
    assert (await catalogue.get(bob, media.media_id)).media_id == media.media_id
    inner = await collections.create(bob, "Inner", parent_id=album.collection_id)
    assert (inner.owner.id, inner.project_id) == ("ann", "team")


async def test_a_collection_has_at_most_ten_thousand_media(service: Running, ann: Caller) -> None:
    album = await collections.create(ann, "Full")
    ids = await add_media(service, 10_001)
    async with service.database() as db:
        await db.execute(
            "insert into collection_members (collection_id, media_id, position, shared)"
            " select %s, unnest(%s::uuid[]), 1, true",
            (album.collection_id, ids[1:]),
        )
    refusal = await refused(collections.add(ann, album.collection_id, ids[:1]))
    assert (refusal.reason, refusal.metadata) == ("COLLECTION_FULL", {"max_media": "10000"})
    await collections.add(ann, album.collection_id, ids[1:2])


async def test_consumers_learn_of_collections_and_not_which_media_are_in_them(
    service: Running, ann: Caller
) -> None:
    media = await ann.store(jpeg())
    album = await collections.create(ann, "Album")
    await collections.add(ann, album.collection_id, [media.media_id])
    await collections.take_out(ann, album.collection_id, [media.media_id])
    await collections.update(ann, ["title"], collection_id=album.collection_id, title="x")
    await collections.transfer(ann, album.collection_id, project_id="")
    await collections.delete(ann, album.collection_id)
    async with service.database() as db:
        rows = await db.execute(
            "select event ->> 'type', event ->> 'subject', event ->> 'media_id' from event_outbox"
            " where event ->> 'type' like 'collection.%' order by position"
        )
        found = await rows.fetchall()
    changes = [
        "collection.created",
        *["collection.updated"] * 3,
        *("collection.transferred", "collection.deleted"),
    ]
    assert [type_ for type_, _, _ in found] == changes
    assert {subject for _, subject, _ in found} == {f"collection/{album.collection_id}"}
    assert not any(media_id for _, _, media_id in found)


async def test_lists_searches_and_batches_within_a_collection(
    service: Running, ann: Caller, bob: Caller
) -> None:
    """Also of what only the collection shares. Those who do not see the collection get nothing."""
    mine, lake, other = [(await ann.store(jpeg(), f"{name}.jpg")).media_id for name in "abc"]
    await catalogue.update(ann, [], media_id=lake, title="By the lake")
    album_id = (await collections.create(ann, "Party")).collection_id
    await collections.add(ann, album_id, [mine, lake])
    inner_id = (await collections.create(ann, "Inner", parent_id=album_id)).collection_id
    await collections.add(ann, inner_id, [other])
    smart = await collections.create(
        ann, "Smart", filter=f"filename=c.jpg OR collection={album_id} AND title:*"
    )
    within = f"collection={album_id}"
    async with Database(service.database_url, 2) as database:
        async for _ in write_all_due(database):
            pass
    for caller in (ann, bob):
        if caller is bob:
            assert await catalogue.names(bob, filter=within) == []
            await grant(ann, f"collection:{album_id}", "user:bob", "VIEWER")
            await grant(ann, f"collection:{smart.collection_id}", "user:bob", "VIEWER")
            assert await catalogue.names(bob) == []
        assert await catalogue.names(caller, filter=within) == ["b.jpg", "a.jpg"]
        assert await catalogue.names(caller, filter=f"{within} AND NOT title:*") == ["a.jpg"]
        search = media_service_pb2.SearchMediaRequest(query="lake", filter=within)
        (hit,) = (await caller.call(caller.media.SearchMedia, search)).hits
        assert hit.media.media_id == lake
        facets = media_service_pb2.CountFacetsRequest(filter=within)
        assert (await caller.call(caller.media.CountFacets, facets)).media_count == 2
    by_smart = f"collection={smart.collection_id}"
    assert await catalogue.names(ann, filter=by_smart) == ["c.jpg", "b.jpg"]
    assert await collections.media(ann, smart.collection_id) == [other, lake]
    assert await catalogue.names(bob, filter=by_smart) == ["b.jpg"]
    assert await collections.media(bob, smart.collection_id) == [lake]
    tagged = await batches.tag(ann, ["x"], filter=f"{by_smart} AND title:*")
    assert [each.media_id for each in tagged.results] == [lake]
    assert (await batches.tag(bob, ["x"], filter=within)).results == []
    nested = collections.create(ann, "Nested", filter=by_smart)
    assert (await refused(nested)).reason == "INVALID_FILTER"
    itself = collections.update(ann, [], collection_id=smart.collection_id, filter=by_smart)
    assert (await refused(itself)).reason == "INVALID_FILTER"
    await revoke(ann, f"collection:{album_id}", "user:bob")
    assert await catalogue.names(bob, filter=f"{within} OR {by_smart}") == []
    assert await catalogue.names(ann, filter=f"collection={unknown_id()}") == []


async def test_a_collection_is_given_away_with_those_in_it_and_without_its_media(
    service: Running, ann: Caller, bob: Caller
) -> None:
    project = (await create_project(ann)).project_id
    outer = (await collections.create(ann, "Outer", project_id=project)).collection_id
    inner = (await collections.create(ann, "Inner", parent_id=outer)).collection_id
    media = await ann.store(jpeg())
    await collections.add(ann, inner, [media.media_id])
    made = await share(ann, f"collection:{outer}")
    guest = await visitor(service, made.secret)
    of_bob = media_pb2.Owner(type="user", id="bob")

    assert (await refused(collections.transfer(bob, outer))).reason == "COLLECTION_NOT_FOUND"
    await grant(ann, f"collection:{outer}", "user:bob", "MANAGER")
    assert (await refused(collections.transfer(bob, outer))).reason == "ROLE_REQUIRED"
    refusal = await refused(collections.transfer(ann, outer, owner=of_bob))
    assert refusal.reason == "OWNER_NOT_ALLOWED"
    await grant(bob, "owner:/user:bob", "user:ann", "EDITOR")
    refusal = await refused(collections.transfer(ann, inner, project_id=""))
    assert (refusal.reason, refusal.metadata) == ("COLLECTION_NESTED", {"collection_id": inner})
    refusal = await refused(collections.transfer(ann, outer, project_id="none"))
    assert refusal.reason == "PROJECT_NOT_FOUND"

    await collections.transfer(ann, outer, owner=of_bob, project_id="")
    await revoke(bob, "owner:/user:bob", "user:ann")
    for each in (outer, inner):
        given = await collections.get(bob, each)
        assert (given.owner.id, given.project_id) == ("bob", "")
        hidden = await refused(collections.get(ann, each))
        assert hidden.reason == "COLLECTION_NOT_FOUND"
    assert await collections.media(bob, inner) == [media.media_id], "it is shared as before"
    assert (await catalogue.get(ann, media.media_id)).owner.id == "ann"
    assert (await refused(collections.get(guest, outer))).reason == "COLLECTION_NOT_FOUND"
