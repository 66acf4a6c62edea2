"""The catalog: get, list, update, delete, undelete, purge."""

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from mediaservice.v1 import media_service_pb2

from media_service.db.database import Database
from media_service.media.expiry import expire_due
from media_service.renditions.delete import purge_due
from tests.support.batches import changed_by
from tests.support.media.small_files import jpeg, png, video_bytes
from tests.support.rpc.catalogue import (
    Media,
    delete,
    get,
    listed,
    names,
    purge,
    undelete,
    until_done,
    update,
)
from tests.support.rpc.server import Caller, Running, refused, unknown_id
from tests.support.stores.local_files import blob_files


def time(text: str) -> Timestamp:
    found = Timestamp()
    found.FromJsonString(text)
    return found


async def test_a_media_belongs_to_its_uploader(ann: Caller, bob: Caller) -> None:
    stored = await ann.store(jpeg(), "photo.jpg")
    media = await get(ann, stored.media_id)
    assert media == stored
    assert (media.owner.type, media.owner.id) == ("user", "ann")
    for call in (
        get(bob, stored.media_id),
        update(bob, ["title"], media_id=stored.media_id, title="mine"),
        delete(bob, stored.media_id),
        undelete(bob, stored.media_id),
        purge(bob, stored.media_id),
        bob.content(stored.media_id),
        get(ann, unknown_id()),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "MEDIA_NOT_FOUND")


async def test_the_same_user_id_in_another_organization_is_another_owner(
    service: Running,
) -> None:
    ann = await service.caller("ann", org="acme")
    other = await service.caller("ann", org="globex")
    stored = await ann.store(jpeg())
    assert stored.owner.organization_id == "acme"
    assert (await refused(get(other, stored.media_id))).reason == "MEDIA_NOT_FOUND"
    assert await listed(other) == []


async def test_a_malformed_id_is_refused(ann: Caller) -> None:
    refusal = await refused(get(ann, "../../etc/passwd"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert refusal.fields == ["media_id"]


async def test_lists_are_filtered_and_ordered(ann: Caller, bob: Caller) -> None:
    await ann.store(jpeg(), "b.jpg")
    await ann.store(png(), "a.png")
    await ann.store(video_bytes(5000), "c.mp4")
    await bob.store(jpeg(), "other.jpg")
    assert await names(ann) == ["c.mp4", "a.png", "b.jpg"]
    assert await names(ann, order_by="filename") == ["a.png", "b.jpg", "c.mp4"]
    assert await names(ann, filter="kind=IMAGE", order_by="filename") == ["a.png", "b.jpg"]
    assert await names(ann, filter='content_type="image/png"') == ["a.png"]
    assert await names(ann, filter='content_type="image/*" AND NOT filename="a.png"') == ["b.jpg"]
    assert await names(ann, filter="size_bytes >= 5000 OR filename='b.jpg'") == ["c.mp4", "b.jpg"]
    assert await names(ann, filter='create_time > "2100-01-01T00:00:00Z"') == []
    assert await names(ann, filter="state=PENDING AND kind=video") == ["c.mp4"]


async def test_lists_are_filtered_by_attributes_that_callers_set(ann: Caller) -> None:
    plain, labelled = await ann.store(jpeg(), "plain.jpg"), await ann.store(jpeg(), "labelled.jpg")
    await update(
        ann,
        ["title", "labels", "capture_time"],
        media_id=labelled.media_id,
        title="Sunset at sea",
        labels={"album": "2026", "app/v1": "x"},
        capture_time=time("2026-05-06T07:08:09.123456Z"),
    )
    for matching in (
        f'media_id="{labelled.media_id}"',
        'labels.album="2026"',
        'labels.album="20*"',
        "labels.album=* labels.app/v1=x",
        "labels.album!=1999",
        'title="Sunset*"',
        "capture_time>2026-05-06T07:08:09Z AND capture_time<2026-05-06T07:08:10Z",
        f"owner=ann NOT media_id={plain.media_id}",
        "version=1 labels.album=2026",
    ):
        assert await names(ann, filter=matching) == ["labelled.jpg"], matching
    for other in ("labels.album=2025", "labels.other=2026", "owner=bob", "project_id=p", "width>1"):
        assert await names(ann, filter=other) == [], other
    assert await names(ann, filter="NOT labels.album=2026") == ["plain.jpg"]


async def test_lists_are_limited_to_one_owner_and_one_project(
    ann: Caller, service: Running
) -> None:
    bob = await service.caller("bob")
    media = await ann.store(jpeg(), "a.jpg")
    await ann.store(jpeg(), "b.jpg")
    async with service.database() as db:
        await db.execute("update media set project_id = 'p' where media_id = %s", (media.media_id,))
    assert (await get(ann, media.media_id)).project_id == "p"
    assert await names(ann, project_id="p") == ["a.jpg"]
    assert await names(ann, project_id="q") == []
    assert await names(ann, filter="project_id=p") == ["a.jpg"]
    mine = {"type": "user", "id": "ann"}
    assert await names(ann, owner=mine, order_by="filename") == ["a.jpg", "b.jpg"]
    assert await names(bob, owner=mine) == []


async def test_labels_and_times_are_updated_and_cleared(ann: Caller) -> None:
    media = await ann.store(jpeg())
    taken, expire = time("2020-01-02T03:04:05.678Z"), time("2100-01-01T00:00:00Z")
    changed = await update(
        ann,
        [],
        media_id=media.media_id,
        labels={"a": "1", "b": "2"},
        capture_time=taken,
        expire_time=expire,
    )
    assert (dict(changed.labels), changed.capture_time, changed.expire_time) == (
        {"a": "1", "b": "2"},
        taken,
        expire,
    )
    changed = await update(
        ann, ["labels", "expire_time"], media_id=media.media_id, labels={"b": "3"}
    )
    assert (dict(changed.labels), changed.capture_time) == ({"b": "3"}, taken)
    assert not changed.HasField("expire_time")
    cleared = await update(ann, ["*"], media_id=media.media_id)
    assert (dict(cleared.labels), cleared.HasField("capture_time")) == ({}, False)
    assert cleared.filename == ""
    assert cleared.original_filename == "a.jpg"


@pytest.mark.parametrize(
    ("media", "field"),
    [
        ({"labels": {"A": "1"}}, "media.labels"),
        ({"labels": {"a": "x" * 256}}, "media.labels"),
        ({"labels": {f"a{n}": "" for n in range(65)}}, "media.labels"),
        ({"capture_time": {"seconds": 2**60}}, "capture_time"),
        ({"expire_time": {"nanos": -1}}, "expire_time"),
    ],
)
async def test_invalid_labels_and_times_are_refused(
    ann: Caller, media: dict[str, Any], field: str
) -> None:
    stored = await ann.store(jpeg())
    refusal = await refused(update(ann, [], media_id=stored.media_id, **media))
    assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", [field])


async def test_an_update_without_a_difference_keeps_the_etag(ann: Caller) -> None:
    media = await ann.store(jpeg())
    same = await update(
        ann, ["filename", "tags", "labels"], media_id=media.media_id, filename="a.jpg"
    )
    assert same == media
    assert (await update(ann, [], media_id=media.media_id, title="x")).etag != media.etag


async def test_a_media_is_deleted_when_it_expires(ann: Caller, service: Running) -> None:
    media = await ann.store(jpeg(), "gone.jpg")
    await ann.store(jpeg(), "stays.jpg")
    await update(ann, [], media_id=media.media_id, expire_time=time("2020-01-01T00:00:00Z"))
    async with Database(service.database_url, 2) as database:
        assert await changed_by(expire_due(database, timedelta(days=30))) == 1
        assert await changed_by(expire_due(database, timedelta(days=30))) == 0
    deleted = await get(ann, media.media_id)
    assert deleted.purge_time.seconds - deleted.delete_time.seconds == 30 * 24 * 3600
    assert await names(ann) == ["stays.jpg"]
    restored = await undelete(ann, media.media_id)
    assert not restored.HasField("delete_time")
    assert not restored.HasField("expire_time")


async def test_media_are_filtered_by_tag(ann: Caller) -> None:
    stored = await ann.store(jpeg(), "tagged.jpg")
    await ann.store(jpeg(), "plain.jpg")
    await update(ann, ["tags"], media_id=stored.media_id, tags=["sea", "2026"])
    assert await names(ann, filter='tags:"sea"') == ["tagged.jpg"]
    assert await names(ann, filter="NOT tags:sea") == ["plain.jpg"]


@pytest.mark.parametrize("order_by", ["", "filename desc", "size_bytes, filename", "update_time"])
async def test_pages_contain_every_media_once(ann: Caller, order_by: str) -> None:
    for number in range(7):
        await ann.store(jpeg(width=8 + number % 3), f"{number % 4}.jpg")
    whole = [media.media_id for media in await listed(ann, order_by=order_by)]
    seen: list[str] = []
    request = media_service_pb2.ListMediaRequest(page_size=2, order_by=order_by)
    while True:
        page = await ann.call(ann.media.ListMedia, request)
        seen += [media.media_id for media in page.media]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == whole
    assert len(set(seen)) == 7


async def test_a_page_size_above_the_maximum_is_coerced_to_it(ann: Caller) -> None:
    await ann.store(jpeg(), "a.jpg")
    assert await names(ann, page_size=2**31 - 1) == ["a.jpg"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"filter": "colour=red"}, "INVALID_FILTER"),
        ({"filter": "size_bytes = many"}, "INVALID_FILTER"),
        ({"filter": "kind=IMAGE AND"}, "INVALID_FILTER"),
        ({"filter": "'; drop table media; --"}, "INVALID_FILTER"),
        ({"order_by": "owner_id"}, "INVALID_ORDER_BY"),
        ({"order_by": "filename sideways"}, "INVALID_ORDER_BY"),
        ({"page_token": "nonsense"}, "INVALID_PAGE_TOKEN"),
        ({"page_size": -1}, "INVALID_FIELD"),
        ({"filter": "x" * 3000}, "INVALID_FIELD"),
        ({"project_id": "a\0b"}, "INVALID_FIELD"),
    ],
)
async def test_an_invalid_list_request_is_refused(
    ann: Caller, fields: dict[str, Any], reason: str
) -> None:
    refusal = await refused(listed(ann, **fields))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert refusal.fields == list(fields)


async def test_a_page_token_is_valid_only_for_its_query(ann: Caller, bob: Caller) -> None:
    for _ in range(3):
        await ann.store(jpeg())
    first = await ann.call(ann.media.ListMedia, media_service_pb2.ListMediaRequest(page_size=1))
    token = first.next_page_token
    for caller, fields in (
        (ann, {"filter": "kind=IMAGE"}),
        (ann, {"order_by": "filename"}),
        (ann, {"show_deleted": True}),
        (bob, {}),
    ):
        refusal = await refused(listed(caller, page_token=token, **fields))
        assert refusal.reason == "INVALID_PAGE_TOKEN"


async def test_an_update_changes_only_masked_fields(ann: Caller) -> None:
    stored = await ann.store(jpeg(), "old.jpg")
    changed = await update(
        ann, ["title", "tags"], media_id=stored.media_id, title="Sea", tags=["a"], filename="x.jpg"
    )
    assert (changed.title, list(changed.tags), changed.filename) == ("Sea", ["a"], "old.jpg")
    assert changed.etag != stored.etag
    cleared = await update(ann, ["title"], media_id=stored.media_id)
    assert cleared.title == ""
    assert list(cleared.tags) == ["a"]


async def test_without_a_mask_an_update_changes_the_fields_that_are_set(ann: Caller) -> None:
    stored = await ann.store(jpeg(), "old.jpg")
    await update(ann, ["title"], media_id=stored.media_id, title="Sea")
    changed = await update(ann, [], media_id=stored.media_id, description="A day at the sea")
    assert (changed.title, changed.description) == ("Sea", "A day at the sea")


@pytest.mark.parametrize("path", ["size_bytes", "owner", "state", "nonsense", "checksums.crc32c"])
async def test_output_only_fields_cannot_be_updated(ann: Caller, path: str) -> None:
    stored = await ann.store(jpeg())
    refusal = await refused(update(ann, [path], media_id=stored.media_id))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_UPDATE_MASK",
    )


@pytest.mark.parametrize(
    "media", [{"filename": "../up.jpg"}, {"filename": "n" * 10_000}, {"tags": ["a", "a"]}]
)
async def test_values_that_violate_field_rules_are_refused(
    ann: Caller, media: dict[str, Any]
) -> None:
    stored = await ann.store(jpeg())
    refusal = await refused(update(ann, list(media), media_id=stored.media_id, **media))
    assert refusal.reason == "INVALID_FIELD"
    assert refusal.fields == [f"media.{name}" for name in media]


async def test_an_etag_of_an_older_state_is_refused(ann: Caller) -> None:
    stored = await ann.store(jpeg())
    changed = await update(ann, ["title"], media_id=stored.media_id, title="one", etag=stored.etag)
    for call in (
        update(ann, ["title"], media_id=stored.media_id, title="two", etag=stored.etag),
        delete(ann, stored.media_id, stored.etag),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
        assert refusal.headers["x-http-status"] == "412"
    assert (await delete(ann, stored.media_id, changed.etag)).HasField("delete_time")


async def test_a_deleted_media_is_neither_listed_nor_served_until_undeleted(
    ann: Caller,
) -> None:
    stored = await ann.store(jpeg(), "gone.jpg")
    deleted = await delete(ann, stored.media_id)
    assert deleted.purge_time.seconds - deleted.delete_time.seconds == 30 * 86400
    assert await delete(ann, stored.media_id) == deleted
    assert await listed(ann) == []
    assert await names(ann, show_deleted=True) == ["gone.jpg"]
    assert await get(ann, stored.media_id) == deleted
    for call in (
        ann.content(stored.media_id),
        update(ann, ["title"], media_id=stored.media_id, title="x"),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "MEDIA_DELETED",
        )
        assert refusal.headers["x-http-status"] == "410"
    back = await undelete(ann, stored.media_id)
    assert not back.HasField("delete_time")
    assert await undelete(ann, stored.media_id) == back
    assert await ann.content(stored.media_id) == jpeg()


async def test_a_purge_removes_a_deleted_media_and_its_bytes(working: Running) -> None:
    ann = await working.caller()
    stored = await ann.store(jpeg())
    refusal = await refused(purge(ann, stored.media_id))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "MEDIA_NOT_DELETED",
    )
    await delete(ann, stored.media_id)
    await purge(ann, stored.media_id)
    assert (await refused(get(ann, stored.media_id))).reason == "MEDIA_NOT_FOUND"
    assert (await refused(purge(ann, stored.media_id))).reason == "MEDIA_NOT_FOUND"
    await no_blobs(working)


async def test_a_media_past_its_purge_time_is_purged_automatically(
    working: Running, database: Database
) -> None:
    ann = await working.caller()
    kept, stored = await ann.store(jpeg()), await ann.store(png())
    await delete(ann, stored.media_id)
    async with working.database() as db:
        await db.execute(
            "update media set purge_time = now() - interval '1 s' where purge_time is not null"
        )
    assert await changed_by(purge_due(database)) == 1
    assert (await refused(get(ann, stored.media_id))).reason == "MEDIA_NOT_FOUND"
    assert await ann.content(kept.media_id) == jpeg()


async def no_blobs(service: Running) -> None:
    """Waits until no blob row and no file is left."""
    async with asyncio.timeout(20):
        while blob_files(service.data_dir / "raw"):
            await asyncio.sleep(0.05)
        while True:
            async with service.database() as db:
                if await (await db.execute("select 1 from blobs")).fetchone() is None:
                    return
            await asyncio.sleep(0.05)


async def test_inspection_makes_a_media_ready(working: Running) -> None:
    ann = await working.caller()
    stored = await ann.store(jpeg(64, 48))
    media = await until_done(ann, stored.media_id)
    assert media.state == Media.READY
    assert (media.image.width, media.image.height) == (64, 48)


async def test_an_unreadable_file_is_failed_and_kept(working: Running) -> None:
    ann = await working.caller()
    data = jpeg(640, 480)[:2000]
    stored = await ann.store(data)
    media = await until_done(ann, stored.media_id)
    assert media.state == Media.FAILED
    assert media.error.message
    assert await ann.content(stored.media_id) == data
