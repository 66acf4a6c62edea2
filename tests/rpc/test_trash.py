"""Deleted media: listed, restored, and purged before their time."""

from pathlib import Path

import pytest
from mediaservice.v1 import media_service_pb2, quota_service_pb2

from media_service.db.database import Database
from media_service.renditions.delete import purge_due
from tests.support.batches import changed_by
from tests.support.media.small_files import jpeg
from tests.support.rpc.catalogue import delete, listed, undelete
from tests.support.rpc.commands import Run
from tests.support.rpc.server import Caller, Running
from tests.support.rpc.sharing import create_project, grant, store_in


async def empty_trash(caller: Caller, project_id: str = "") -> list[str]:
    request = media_service_pb2.EmptyTrashRequest(project_id=project_id)
    answer = await caller.call(caller.media.EmptyTrash, request)
    assert not answer.more
    return list(answer.media_ids)


async def in_trash(caller: Caller, **fields: str) -> list[str]:
    found = await listed(
        caller, filter="delete_time:*", order_by="delete_time desc", show_deleted=True, **fields
    )
    return [media.media_id for media in found]


async def test_the_trash_is_listed_and_emptied_by_its_owner(
    ann: Caller, bob: Caller, database: Database
) -> None:
    project = (await create_project(bob)).project_id
    await grant(bob, f"project:{project}", "user:ann", "MANAGER")
    kept, *own = [(await ann.store(jpeg())).media_id for _ in range(3)]
    mine = (await store_in(ann, project, jpeg())).media_id
    theirs = [(await store_in(bob, project, jpeg())).media_id for _ in range(2)]
    deleted = [*own, mine, *theirs]
    for media_id in deleted:
        await delete(ann, media_id)
    assert await in_trash(ann) == deleted[::-1]
    assert await in_trash(bob) == await in_trash(ann, project_id=project) == [*theirs[::-1], mine]
    request = quota_service_pb2.GetUsageRequest(account="owner:/user:ann")
    counted = await ann.call(ann.quotas.GetUsage, request)
    assert (counted.total.media, counted.deleted.media) == (3, 2)
    assert await empty_trash(ann, project) == [mine], "a manager is not the owner of the others"
    assert sorted(await empty_trash(bob, project)) == sorted(theirs)
    assert await empty_trash(bob) == [], "they are due already"
    await undelete(bob, theirs[0])
    assert sorted(await empty_trash(ann)) == sorted(own)
    assert await changed_by(purge_due(database)) == 4
    left = {media.media_id for media in await listed(ann, show_deleted=True)}
    assert left == {kept, theirs[0]}


async def test_one_call_takes_the_first_of_many(
    ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("media_service.renditions.delete.MAX_EMPTIED", 2)
    stored = [(await ann.store(jpeg())).media_id for _ in range(3)]
    for media_id in stored:
        await delete(ann, media_id)
    request = media_service_pb2.EmptyTrashRequest()
    first = await ann.call(ann.media.EmptyTrash, request)
    assert (sorted(first.media_ids), first.more) == (sorted(stored[:2]), True)
    assert await empty_trash(ann) == stored[2:]


async def test_the_command_lists_and_empties(service: Running, tmp_path: Path) -> None:
    run, ann = Run(service, tmp_path), await service.caller()
    project = (await create_project(ann)).project_id
    first = (await ann.store(jpeg(), "one.jpg")).media_id
    second = (await store_in(ann, project, jpeg())).media_id
    for media_id in (first, second):
        await delete(ann, media_id)
    assert [fields[0] for fields in await run("ann", "trash")] == [second, first]
    assert [fields[0] for fields in await run("ann", "trash", "--project", project)] == [second]
    assert await run("ann", "trash", "--empty", "--project", project) == [[second]]
    await run("ann", "undelete", first)
    assert await run("ann", "trash", "--empty") == []
