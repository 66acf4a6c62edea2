"""Changes of many media in one call."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc
from mediaservice.v1 import access_service_pb2, media_pb2

from tests.support.media.small_files import jpeg
from tests.support.rpc import batches, catalogue
from tests.support.rpc.audit import entries
from tests.support.rpc.batches import reason_of, reasons
from tests.support.rpc.jobs import Job, listed
from tests.support.rpc.policies import set_policy
from tests.support.rpc.quotas import set_quota
from tests.support.rpc.server import Caller, Running, refusal, refused, unknown_id
from tests.support.rpc.sharing import add_project, grant, make_administrator, revoke
from tests.support.tools import eventually_async

ROLES = ("VIEWER", "COMMENTER", "EDITOR", "MANAGER", "OWNER")
# Makes a change of one media by the method for one, and by that for many.
Single: TypeAlias = Callable[[Caller, str], Awaitable[Any]]
Many: TypeAlias = Callable[[Caller, list[str]], Awaitable[Any]]


async def transfer(caller: Caller, media_id: str, project_id: str) -> media_pb2.Media:
    request = access_service_pb2.TransferMediaRequest(media_id=media_id, project_id=project_id)
    return await caller.call(caller.access.TransferMedia, request)


CHANGES: dict[str, tuple[Single, Many]] = {
    "tag": (
        lambda who, id_: catalogue.update(who, ["tags"], media_id=id_, tags=["sea", "new"]),
        lambda who, ids: batches.tag(who, ["new"], remove_tags=["old"], media_ids=ids),
    ),
    "update": (
        lambda who, id_: catalogue.update(who, ["rating", "title"], media_id=id_, rating=5),
        lambda who, ids: batches.update(who, ["rating", "title"], {"rating": 5}, media_ids=ids),
    ),
    "publish": (
        lambda who, id_: catalogue.update(who, ["visibility"], media_id=id_, visibility="PUBLIC"),
        lambda who, ids: batches.update(
            who, ["visibility"], {"visibility": "PUBLIC"}, media_ids=ids
        ),
    ),
    "move": (
        lambda who, id_: transfer(who, id_, "target"),
        lambda who, ids: batches.move(who, "target", media_ids=ids),
    ),
    "delete": (
        catalogue.delete,
        lambda who, ids: batches.delete(who, media_ids=ids),
    ),
}


async def one_of_each(ann: Caller, bob: Caller) -> dict[str, str]:
    """Media that differ in what ann may do with them."""
    made = {"own": await ann.store(jpeg()), "deleted": await ann.store(jpeg())}
    for name in (*ROLES, "hidden"):
        made[name] = await bob.store(jpeg())
    ids = {name: media.media_id for name, media in made.items()}
    for name, media_id in ids.items():
        owner = bob if name in (*ROLES, "hidden") else ann
        await catalogue.update(owner, ["tags"], media_id=media_id, tags=["sea", "old"])
        if name in ROLES:
            await grant(bob, f"media:{media_id}", "user:ann", name)
    await catalogue.delete(ann, ids["deleted"])
    return {**ids, "unknown": unknown_id()}


def comparable(media: media_pb2.Media) -> media_pb2.Media:
    """What two media have in common after the same changes."""
    found = media_pb2.Media()
    found.CopyFrom(media)
    for field in ("media_id", "create_time", "update_time", "purge_time", "delete_time"):
        found.ClearField(field)
    return found


async def test_a_batch_changes_each_media_as_a_single_call_does(
    service: Running, ann: Caller, bob: Caller
) -> None:
    await add_project(service, "target")
    for name, (single, many) in CHANGES.items():
        one, other = await one_of_each(ann, bob), await one_of_each(ann, bob)
        expected = {}
        for kind, media_id in one.items():
            try:
                await single(ann, media_id)
                expected[kind] = ""
            except grpc.RpcError as error:
                expected[kind] = refusal(error).reason
        done = await many(ann, list(other.values()))
        found = dict(zip(other, reasons(done), strict=True))
        assert found == expected, name
        assert [result.media_id for result in done.results] == list(other.values())
        for kind, result in zip(other, done.results, strict=True):
            if kind in {"hidden", "unknown"}:
                continue
            before, after = [await catalogue.get(ann, ids[kind]) for ids in (one, other)]
            assert comparable(after) == comparable(before), (name, kind)
            assert not result.etag or result.etag == after.etag, (name, kind)
        again = await many(ann, list(other.values()))
        assert again.changed_count == 0, name
        assert again.failed_count == done.failed_count == sum(map(bool, found.values()))


async def test_an_atomic_batch_changes_all_or_nothing(ann: Caller, bob: Caller) -> None:
    mine, others = [await ann.store(jpeg()) for _ in range(2)], await bob.store(jpeg())
    ids = [media.media_id for media in mine]
    refusal = await refused(batches.tag(ann, ["x"], media_ids=[*ids, others.media_id], atomic=True))
    assert (refusal.reason, refusal.metadata) == (
        "MEDIA_NOT_FOUND",
        {"media_id": others.media_id},
    )
    assert [await catalogue.get(ann, id_) for id_ in ids] == mine
    done = await batches.tag(ann, ["x"], media_ids=[ids[0].upper(), *ids], atomic=True)
    assert (len(done.results), done.changed_count) == (2, 2)


async def test_a_filter_selects_what_the_caller_may_change(
    service: Running, ann: Caller, bob: Caller
) -> None:
    mine = [await ann.store(jpeg(), name) for name in ("a.jpg", "b.jpg")]
    await catalogue.delete(ann, (await ann.store(jpeg())).media_id)
    readable, writable = await bob.store(jpeg()), await bob.store(jpeg())
    await grant(bob, f"media:{readable.media_id}", "user:ann", "VIEWER")
    await grant(bob, f"media:{writable.media_id}", "user:ann", "EDITOR")
    expected = [writable.media_id, *(media.media_id for media in reversed(mine))]
    tried = await batches.tag(ann, ["x"], filter="kind=IMAGE", validate_only=True)
    assert [result.media_id for result in tried.results] == expected
    assert (tried.changed_count, tried.failed_count) == (3, 0)
    assert (await catalogue.get(ann, mine[0].media_id)) == mine[0]
    done = await batches.tag(ann, ["x"], filter="kind=IMAGE")
    assert [result.media_id for result in done.results] == expected
    assert set(await catalogue.names(ann, filter='tags:"x"')) == {"a.jpg", "b.jpg"}
    await revoke(bob, f"media:{writable.media_id}", "user:ann")
    assert len((await batches.delete(ann, filter='tags:"x"')).results) == 2
    assert (await batches.delete(ann, filter='tags:"x"')).results == []


async def test_a_filter_that_selects_too_many_is_refused_if_the_batch_is_atomic(
    service: Running, ann: Caller
) -> None:
    await batches.add_media(service, 1001)
    refusal = await refused(batches.tag(ann, ["x"], filter="kind=IMAGE", atomic=True))
    assert (refusal.reason, refusal.metadata) == ("BATCH_TOO_LARGE", {"max_media": "1000"})
    tried = await batches.tag(ann, ["x"], filter="kind=IMAGE", validate_only=True)
    assert (tried.selected_count, len(tried.results), tried.HasField("job")) == (1001, 0, False)
    assert await catalogue.names(ann, filter='tags:"x"') == []
    assert await listed(ann, type=Job.BATCH) == []


async def test_a_media_has_at_most_a_hundred_tags(ann: Caller) -> None:
    few, full = await ann.store(jpeg()), await ann.store(jpeg())
    await catalogue.update(
        ann, ["tags"], media_id=full.media_id, tags=[str(number) for number in range(100)]
    )
    ids = [few.media_id, full.media_id]
    assert reasons(await batches.tag(ann, ["x"], media_ids=ids)) == ["", "INVALID_FIELD"]
    done = await batches.tag(ann, ["y"], remove_tags=["5"], media_ids=ids)
    assert reasons(done) == ["", ""]


async def test_quotas_and_policies_refuse_single_media_of_a_batch(
    service: Running, ann: Caller
) -> None:
    await add_project(service, "small")
    await make_administrator(service, "root")
    await set_quota(await service.caller("root"), "project:small", MEDIA=3)
    ids = [(await ann.store(jpeg())).media_id for _ in range(5)]
    refusal = await refused(batches.move(ann, "small", media_ids=ids, atomic=True))
    assert refusal.reason == "QUOTA_EXCEEDED"
    done = await batches.move(ann, "small", media_ids=ids)
    assert reasons(done) == [""] * 3 + ["QUOTA_EXCEEDED"] * 2
    assert (done.changed_count, done.failed_count) == (3, 2)
    places = [(await catalogue.get(ann, id_)).project_id for id_ in ids]
    assert places == ["small"] * 3 + [""] * 2
    await set_policy(ann, "project:small", max_visibility="PRIVATE")
    public = await batches.update(
        ann, ["visibility"], {"visibility": "PUBLIC"}, media_ids=[ids[0], ids[4]]
    )
    assert reasons(public) == ["VISIBILITY_NOT_ALLOWED", ""]


async def test_each_media_that_changes_or_is_refused_has_an_entry_in_the_audit_log_and_an_event(
    service: Running, ann: Caller, bob: Caller
) -> None:
    ids = [(await ann.store(jpeg())).media_id for _ in range(3)]
    await batches.tag(ann, ["x"], media_ids=ids[:2])
    await batches.tag(ann, ["x"], media_ids=ids)
    await batches.delete(ann, media_ids=ids[:1])
    hidden = (await bob.store(jpeg())).media_id
    await batches.delete(ann, media_ids=[hidden])
    expected = [
        *(("media.update", id_, "OK") for id_ in ids),
        ("media.delete", ids[0], "OK"),
        ("media.delete", hidden, "MEDIA_NOT_FOUND"),
    ]

    async def recorded() -> bool:
        found = await entries(service, "action", "media_id", "outcome")
        named = [entry for entry in found if entry[0] != "media.create" and entry[1]]
        return sorted(named) == sorted(expected)

    await eventually_async(recorded)
    async with service.database() as db:
        rows = await db.execute(
            "select event ->> 'type', event ->> 'media_id' from event_outbox"
            " where event ->> 'type' = any(%s)",
            (["media.updated", "media.deleted"],),
        )
        events = sorted(await rows.fetchall())
    changed = [("media.updated", id_) for id_ in ids]
    assert events == sorted([*changed, ("media.deleted", ids[0])])


async def test_several_media_are_read_at_once(ann: Caller, bob: Caller) -> None:
    mine = await ann.store(jpeg())
    others = await bob.store(jpeg())
    found = await batches.get(ann, [mine.media_id, others.media_id, unknown_id()])
    assert found.results[0].media == await catalogue.get(ann, mine.media_id)
    assert [reason_of(result) for result in found.results[1:]] == ["MEDIA_NOT_FOUND"] * 2


async def test_a_batch_names_media_or_a_filter(ann: Caller) -> None:
    for selected in ({}, {"media_ids": [unknown_id()], "filter": "kind=IMAGE"}):
        assert (await refused(batches.tag(ann, ["x"], **selected))).reason == "INVALID_FIELD"
    assert (await refused(batches.tag(ann, [], media_ids=[unknown_id()]))).reason == "INVALID_FIELD"
