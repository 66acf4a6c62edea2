"""Duplicates are found, decided about and merged."""

import asyncio
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from mediaservice.v1 import duplicate_service_pb2

from tests.support.media.photos import copies, jpeg_of, photo
from tests.support.media.real_photos import burst, real_photo
from tests.support.media.scenes import changed, video_of
from tests.support.rpc import collections
from tests.support.rpc.catalogue import delete, get, undelete, until_done, update
from tests.support.rpc.duplicates import (
    Decision,
    compare_all,
    decide,
    groups,
    merge,
    similar,
)
from tests.support.rpc.server import Caller, Running, refused, unknown_id
from tests.support.rpc.sharing import grant, grants

SCALED = "scaled"


async def stored(caller: Caller, *images: bytes) -> list[str]:
    """Stores images one after the other, and waits until they are inspected."""
    ids = [(await caller.store(data)).media_id for data in images]
    await asyncio.gather(*(until_done(caller, media_id) for media_id in ids))
    return ids


@pytest.fixture
async def ann(working: Running) -> Caller:
    return await working.caller("ann")


@pytest.fixture
async def bob(working: Running) -> Caller:
    return await working.caller("bob")


async def test_copies_of_an_image_are_found_and_others_are_not(
    working: Running, ann: Caller, bob: Caller
) -> None:
    image = photo(1)
    made = copies(image)  # of all of which the hashes are compared in the tests of codecs
    copied = {name: jpeg_of(made[name]) for name in (SCALED, "cropped", "watermarked")}
    original, twin, other, *changed = await stored(
        ann, jpeg_of(image), jpeg_of(image), jpeg_of(photo(2)), *copied.values()
    )
    await stored(bob, jpeg_of(image), copied[SCALED])
    found = await similar(ann, original)
    assert found.keys() == {twin, *changed}
    assert found[twin].exact
    assert found[twin].similarity == 1
    assert all(0.8 < found[each].similarity <= 1 and not found[each].exact for each in changed)
    assert next(iter(found)) == twin
    assert await similar(ann, other) == {}
    await compare_all(working)
    (group,) = await groups(ann)
    assert group[0] == original
    assert set(group[1:]) == {twin, *changed}
    assert len(await groups(bob)) == 1
    await delete(ann, original)
    assert original not in {media_id for group in await groups(ann) for media_id in group}
    await undelete(ann, original)
    assert original in {media_id for group in await groups(ann) for media_id in group}


async def test_bursts_and_images_that_look_alike_are_not_merged(
    working: Running, ann: Caller
) -> None:
    first, *between, last = await stored(ann, *map(jpeg_of, burst("camera")))
    alike = await stored(ann, *(jpeg_of(real_photo(name)) for name in ("grass", "gravel")))
    await compare_all(working)
    assert between[0] in await similar(ann, first)
    assert between[-1] in await similar(ann, last)
    listed = await groups(ann)
    assert {media_id for group in listed for media_id in group} == {first, *between, last}
    assert not any({first, last} <= set(group) for group in listed), "a burst is no chain"
    for media_id in (first, *between, last, *alike):
        media = await get(ann, media_id)
        assert not media.HasField("delete_time")
        assert media.renditions, "each is a media of its own"


async def test_copies_of_a_video_are_found_by_several_frames(
    working: Running, ann: Caller, tmp_path: Path
) -> None:
    original = video_of(tmp_path, range(60, 66))
    small = changed(original, "small.mp4", "-vf", "scale=160:-2", "-r", "15")
    cropped = changed(original, "cropped.mp4", "-vf", "crop=iw*0.95:ih:0:0")
    # Half of the scenes are the same, such as those of a trailer.
    other = video_of(tmp_path, [60, 61, 62, 73, 74, 75])
    first, *copies, _ = await stored(
        ann, *(path.read_bytes() for path in (original, small, cropped, other))
    )
    found = await similar(ann, first)
    assert found.keys() == set(copies)
    assert all(each.similarity > 0.8 for each in found.values())


async def test_a_decision_is_remembered(working: Running, ann: Caller) -> None:
    image = photo(3)
    first, second = await stored(ann, jpeg_of(image), jpeg_of(copies(image)[SCALED]))
    await compare_all(working)
    assert await groups(ann) == [[first, second]]
    await decide(ann, second, [first], Decision.KEEP)
    request = duplicate_service_pb2.ListDuplicatesRequest()
    (group,) = (await ann.call(ann.duplicates.ListDuplicates, request)).groups
    assert group.keep_media_id == second
    await decide(ann, second, [first], Decision.DIFFERENT)
    assert await groups(ann) == []
    assert await similar(ann, first) == {}
    await compare_all(working)
    assert await groups(ann) == []


async def test_merged_media_keep_the_better_original_and_what_people_added(
    working: Running, ann: Caller, bob: Caller
) -> None:
    image = photo(4)
    small, large = await stored(ann, jpeg_of(copies(image)[SCALED]), jpeg_of(image))
    await update(ann, ["tags", "labels"], media_id=large, tags=["sea"], labels={"album": "a"})
    await update(
        ann,
        ["tags", "labels", "title", "rating"],
        media_id=small,
        tags=["sun", "sea"],
        labels={"album": "b", "trip": "2026"},
        title="The sea",
        rating=4,
    )
    await grant(ann, f"media:{small}", "user:bob", "EDITOR")
    before = await get(ann, large)
    planned = await merge(ann, [small, large], validate_only=True)
    assert (planned.media, list(planned.deleted_media_ids)) == (before, [small])
    assert await get(ann, large) == before
    merged = (await merge(ann, [small, large])).media
    assert merged.media_id == large
    assert list(merged.tags) == ["sea", "sun"]
    assert dict(merged.labels) == {"album": "a", "trip": "2026"}
    assert (merged.title, merged.rating) == ("The sea", 4)
    assert merged.size_bytes == len(jpeg_of(image))
    assert (await get(bob, large)).title == "The sea"
    assert (await grants(ann, f"media:{large}"))["user:bob"] == "EDITOR"
    assert (await get(ann, small)).HasField("delete_time")
    assert (await refused(merge(ann, [small, large]))).reason == "MEDIA_DELETED"
    await undelete(ann, small)
    assert (await merge(ann, [small, large], small)).media.media_id == small


async def test_a_merge_keeps_metadata_and_collections(
    working: Running, ann: Caller, bob: Caller
) -> None:
    image = photo(7)
    large, small, other = await stored(
        ann, jpeg_of(image), jpeg_of(copies(image)[SCALED]), jpeg_of(photo(8))
    )
    about = {
        large: {"a": 1.0, "place": {"city": "Rome"}},
        small: {"a": 2.0, "b": [3.0], "place": {"city": "Oslo", "country": "Norway"}},
    }
    for media_id, metadata in about.items():
        await update(ann, ["metadata"], media_id=media_id, metadata=metadata)
    shared, both, without = [(await collections.create(ann)).collection_id for _ in range(3)]
    await collections.add(ann, shared, [other, small])
    await collections.add(ann, both, [small, large])
    await collections.add(ann, without, [other])
    cover = {"collection_id": shared, "cover_media_id": small}
    await collections.update(ann, ["cover_media_id"], **cover)
    await grant(ann, f"collection:{shared}", "user:bob", "VIEWER")
    before = {each: await collections.get(ann, each) for each in (shared, both, without)}
    assert (await refused(get(bob, large))).reason == "MEDIA_NOT_FOUND"
    await merge(ann, [small, large])
    expected = {"a": 1.0, "b": [3.0], "place": {"city": "Rome", "country": "Norway"}}
    assert MessageToDict((await get(ann, large)).metadata) == expected
    assert await collections.media(ann, shared) == [other, large]
    assert await collections.media(ann, both) == [large]
    assert (await get(bob, large)).media_id == large
    after = {each: await collections.get(ann, each) for each in before}
    assert after[shared].cover_media_id == large
    assert [after[each].etag == before[each].etag for each in before] == [False, True, True]
    await undelete(ann, small)
    assert await collections.media(ann, shared) == [other, large, small]

    await update(ann, ["metadata"], media_id=small, metadata={"c": "x" * 16_000})
    await update(ann, ["metadata"], media_id=large, metadata={"d": "x" * 1_000})
    assert (await refused(merge(ann, [small, large]))).reason == "METADATA_NOT_ALLOWED"
    assert not (await get(ann, small)).HasField("delete_time")


async def test_merging_needs_a_role_on_each_media_of_one_tenant(
    working: Running, ann: Caller, bob: Caller
) -> None:
    (mine,) = await stored(ann, jpeg_of(photo(5)))
    (his,) = await stored(bob, jpeg_of(photo(6)))
    assert (await refused(merge(ann, [mine, his]))).reason == "MEDIA_NOT_FOUND"
    assert (await refused(merge(ann, [mine, unknown_id()]))).reason == "MEDIA_NOT_FOUND"
    assert (await refused(decide(ann, mine, [his], Decision.DIFFERENT))).reason == "MEDIA_NOT_FOUND"
    await grant(bob, f"media:{his}", "user:ann", "EDITOR")
    assert (await refused(merge(ann, [mine, his]))).reason == "ROLE_REQUIRED"
    await grant(bob, f"media:{his}", "user:ann", "MANAGER")
    assert (await refused(merge(ann, [mine, his]))).reason == "INVALID_FIELD"
