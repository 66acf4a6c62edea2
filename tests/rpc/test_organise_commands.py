"""The commands for collections and for all media that match a filter, against a real server."""

from pathlib import Path

import pytest

from tests.support.media.small_files import jpeg
from tests.support.rpc.batches import add_media
from tests.support.rpc.catalogue import names
from tests.support.rpc.commands import Run
from tests.support.rpc.server import Caller, Running
from tests.support.rpc.sharing import add_project


@pytest.fixture
def run(service: Running, tmp_path: Path) -> Run:
    return Run(service, tmp_path)


async def test_commands_change_all_media_that_match_a_filter(
    run: Run, service: Running, ann: Caller
) -> None:
    await add_media(service, 1001)
    await add_project(service, "gala")
    media = await ann.store(jpeg(), "own.jpg")
    matching = ("--filter", "kind=IMAGE")
    assert await run("ann", "tag", *matching, "--dry-run", "sea") == [["1002 tagged"]]
    assert await names(ann, filter="tags:sea") == []
    done = await run.result("ann", "tag", *matching, "sea")
    assert (done.stdout, done.stderr) == ("1002 tagged\n", "1000 of 1002\n1002 of 1002\n")
    assert await run("ann", "tag", *matching, "sea") == [["0 tagged"]]
    own = ("--filter", 'filename="own.jpg"')
    assert await run("ann", "transfer", *own, "--project", "gala") == [["1 transferred"]]
    assert await run("ann", "rm", "--filter", "project_id=gala") == [["1 deleted"]]
    assert await names(ann, filter="project_id=gala") == []
    assert (await run("ann", "undelete", media.media_id))[0][0] == media.media_id
    for wrong in (
        ("tag", "--dry-run", media.media_id, "x"),
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
    refused = await run.result("ann", "collection", "delete", album)
    assert "COLLECTION_NOT_EMPTY" in refused.stderr
    assert await run("ann", "collection", "delete", inner, album) == []
    assert await run("ann", "collection", "list") == []
