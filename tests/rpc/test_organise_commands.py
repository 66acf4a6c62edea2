"""The commands for collections and for all media that match a filter, against a real server."""

from pathlib import Path

import pytest
from mediaservice.v1.media_pb2 import Media

from media_service.batches import service as batches
from tests.support.media.small_files import jpeg
from tests.support.rpc.batches import add_media
from tests.support.rpc.catalogue import get, names
from tests.support.rpc.commands import Run
from tests.support.rpc.server import Caller, Running
from tests.support.rpc.sharing import add_project, create_project


@pytest.fixture
def run(service: Running, tmp_path: Path) -> Run:
    return Run(service, tmp_path)


@pytest.mark.parametrize("most", [2, 10])
async def test_commands_change_all_media_that_match_a_filter(
    working: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """If they are more than one call changes, by a job."""
    monkeypatch.setattr(batches, "MAX_MEDIA", most)
    run, ann = Run(working, tmp_path), await working.caller("ann")
    await add_media(working, 4)
    await add_project(working, "gala")
    media = await ann.store(jpeg(), "own.jpg")
    matching = ("--filter", "kind=IMAGE")
    assert await run("ann", "tag", *matching, "--dry-run", "sea") == [["5 tagged"]]
    assert await names(ann, filter="tags:sea") == []
    assert await run("ann", "tag", *matching, "sea") == [["5 tagged"]]
    assert await run("ann", "tag", *matching, "sea") == [["0 tagged"]]
    assert await run("ann", "process", *matching, "negate", "--dry-run") == [["5 started"]]
    own = ("--filter", 'filename="own.jpg"')
    assert await run("ann", "transfer", *own, "--project", "gala") == [["1 transferred"]]
    assert await run("ann", "rm", "--filter", "project_id=gala") == [["1 deleted"]]
    assert await names(ann, filter="project_id=gala") == []
    assert (await run("ann", "undelete", media.media_id))[0][0] == media.media_id
    for wrong in (
        ("tag", "--dry-run", media.media_id, "x"),
        ("tag", media.media_id, *own, "x"),
        ("process", media.media_id),
        ("rm",),
        ("rm", media.media_id, *own),
        ("transfer", "--project", "gala"),
    ):
        assert (await run.result("ann", *wrong)).exit_code == 2, wrong


async def test_a_failure_for_one_media_does_not_stop_the_others(
    run: Run, ann: Caller, bob: Caller
) -> None:
    full = await ann.store(jpeg())
    await ann.store(jpeg())
    await run("ann", "tag", full.media_id, *(str(number) for number in range(100)))
    done = await run.result("ann", "tag", "--filter", "kind=IMAGE", "one-more")
    assert (done.exit_code, done.stdout) == (1, "1 tagged\n")
    assert full.media_id in done.stderr


async def test_commands_change_several_media_by_one_call(
    run: Run, service: Running, ann: Caller, bob: Caller
) -> None:
    await add_project(service, "gala")
    ids = sorted([(await ann.store(jpeg())).media_id for _ in range(2)])
    hidden = (await bob.store(jpeg())).media_id
    for command in (
        ("tag", *ids, hidden, "a", "b"),
        ("transfer", *ids, hidden, "--project", "gala", "--owner", "user:ann"),
        ("visibility", "public", *ids, hidden),
        ("rm", *ids, hidden),
    ):
        done = await run.result("ann", *command)
        assert done.exit_code == 1, command
        assert [line.partition("\t")[0] for line in done.stdout.splitlines()] == ids, command
        assert hidden in done.stderr, command
    for media_id in ids:
        media = await get(ann, media_id)
        assert (list(media.tags), media.project_id) == (["a", "b"], "gala")
        assert (media.visibility, media.HasField("delete_time")) == (Media.PUBLIC, True)


async def test_collections_are_managed(run: Run, ann: Caller, bob: Caller) -> None:
    ids = [(await ann.store(jpeg(), f"{number}.jpg")).media_id for number in range(3)]
    ((album, *rest),) = await run("ann", "collection", "create", "Summer")
    assert rest == ["user:ann", "Summer", "-"]
    ((inner, *_),) = await run("ann", "collection", "create", "Beach", "--in", album)
    await run("ann", "collection", "add", inner, *ids)
    await run("ann", "collection", "add", inner, ids[2], "--before", ids[0])
    await run("ann", "collection", "remove", inner, ids[1])
    listed = await run("ann", "collection", "ls", inner)
    assert [line[0] for line in listed] == [ids[2], ids[0]]
    await run("ann", "grant", "set", f"collection:{album}", "user:bob", "viewer")
    assert [line[2] for line in await run("bob", "collection", "list")] == ["Beach", "Summer"]
    assert await run("bob", "collection", "list", "--in", album) == [
        [inner, "user:ann", "Beach", "-"]
    ]
    assert await run("bob", "collection", "ls", inner) == listed
    changed = await run("ann", "collection", "change", inner, "--title", "Sea", "--cover", ids[0])
    assert changed == [[inner, "user:ann", "Sea", "-"]]
    project = (await create_project(ann)).project_id
    await run("ann", "collection", "transfer", album, "--project", project)
    assert [line[0] for line in await run("ann", "collection", "list", "--project", project)] == [
        inner,
        album,
    ]
    await run("ann", "collection", "transfer", album, "--no-project")
    refused = await run.result("ann", "collection", "delete", album)
    assert "COLLECTION_NOT_EMPTY" in refused.stderr
    assert await run("ann", "collection", "delete", inner, album) == []
    assert await run("ann", "collection", "list") == []
