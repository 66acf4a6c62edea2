"""The commands for organizations, projects, groups and grants, against a real server."""

import json
from pathlib import Path

import pytest

from tests.support.media.small_files import jpeg
from tests.support.rpc.catalogue import listed, names
from tests.support.rpc.commands import Run
from tests.support.rpc.server import Caller, Running
from tests.support.rpc.sharing import create_project, store_in
from tests.support.tools import eventually_async


@pytest.fixture
def run(service: Running, tmp_path: Path) -> Run:
    return Run(service, tmp_path)


async def test_a_team_shares_a_project(run: Run, ann: Caller, bob: Caller) -> None:
    refused = await run.result("root", "org", "create", "acme")
    assert "RESOURCE_NOT_FOUND" in refused.stderr
    assert await run("root", "admin", "grant", "root") == [["root is an administrator."]]
    assert await run("root", "admin", "list") == [["user:root"]]
    assert await run("root", "org", "create", "acme", "--name", "Acme") == [
        ["acme", "OWNER", "Acme"]
    ]
    for user in ("ann", "bob"):
        found = await run("root", "grant", "set", "organization:acme", f"user:{user}", "member")
        assert found == [["organization:acme", f"user:{user}", "member", "-"]]
    assert await run("bob", "org", "list") == [["acme", "-", "Acme"]]
    ((group, *_),) = await run("root", "group", "create", "acme", "Editors")
    assert await run("root", "group", "list", "acme") == [[group, "acme", "Editors"]]
    assert await run("root", "org", "change", "acme", "--name", "Acme Inc.") == [
        ["acme", "OWNER", "Acme Inc."]
    ]
    refused = await run.result("ann", "org", "change", "acme", "--name", "Mine")
    assert "ORGANIZATION_NOT_FOUND" in refused.stderr
    assert "at least one option" in (await run.result("root", "org", "change", "acme")).stderr
    await run("root", "group", "add", group, "user:bob", "user:cat")
    created = await run("ann", "project", "create", "Summer", "--org", "acme", "--user", "ann")
    ((project, *rest),) = created
    assert rest == ["OWNER", "acme", "Summer"]
    await store_in(ann, project, jpeg(), "beach.jpg")
    resource = f"project:{project}"
    expiring = ("--expires", "7d")
    ((*granted, expiry),) = await run(
        "ann", "grant", "set", resource, f"group:{group}", "editor", *expiring
    )
    assert granted == [resource, f"group:{group}", "EDITOR"]
    assert expiry.endswith("Z")
    assert await run("bob", "project", "list", "--org", "acme") == [
        [project, "EDITOR", "acme", "Summer"]
    ]
    assert await names(bob) == ["beach.jpg"]
    assert [line[1] for line in await run("ann", "grant", "list", resource)] == [
        f"group:{group}",
        "user:ann",
    ]
    await run("root", "group", "remove", group, "user:bob")
    assert await names(bob) == []
    await run("ann", "grant", "delete", resource, f"group:{group}")
    assert len(await run("ann", "grant", "list", resource)) == 1
    assert await run("ann", "project", "change", project, "--name", "Autumn") == [
        [project, "OWNER", "acme", "Autumn"]
    ]
    refused = await run.result("ann", "project", "delete", project)
    assert (refused.exit_code, "PROJECT_NOT_EMPTY" in refused.stderr) == (1, True)
    ((empty, *_),) = await run(
        "ann", "project", "create", "Empty", "--org", "acme", "--user", "ann"
    )
    assert await run("ann", "project", "delete", empty) == []
    assert await run("root", "group", "delete", group) == []
    assert await run("root", "group", "list", "acme") == []
    refused = await run.result("root", "org", "delete", "acme")
    assert "ORGANIZATION_NOT_EMPTY" in refused.stderr
    await run("root", "org", "create", "globex")
    assert await run("root", "org", "delete", "globex") == []
    assert [line[0] for line in await run("root", "org", "list")] == ["acme"]
    await run("root", "admin", "revoke", "root")
    assert await run("root", "admin", "list") == []
    refused = await run.result("root", "org", "create", "initech")
    assert "RESOURCE_NOT_FOUND" in refused.stderr


async def test_a_policy_is_set_shown_and_removed(run: Run, ann: Caller) -> None:
    project = (await create_project(ann)).project_id
    resource = f"project:{project}"
    settings = ["--type", "image/*", "--max-size", "1MiB", "--max-duration", "90s"]
    settings += ["--default-visibility", "public", "--retention", "30"]
    settings += ["--preset", "image:banner=resize:64x"]
    assert (await run.result("ann", "policy", "set", resource, *settings)).exit_code == 0
    shown = await run.result("ann", "policy", "show", resource)
    assert json.loads(shown.stdout) == {
        "resource": resource,
        "policy": {
            "allowedTypes": ["image/*"],
            "maxSizeBytes": str(1 << 20),
            "maxDurationSeconds": 90,
            "defaultVisibility": "PUBLIC",
            "retentionDays": 30,
            "presets": [{"kind": "IMAGE", "name": "banner", "ops": "resize:64x"}],
        },
    }
    bad = await run.result("ann", "policy", "set", resource, "--preset", "banner=resize:64x")
    assert "KIND:NAME=PIPELINE" in bad.stderr
    empty = await run.result("ann", "policy", "set", resource)
    assert "policy remove" in empty.stderr
    removed = await run.result("ann", "policy", "remove", resource)
    assert json.loads(removed.stdout) == {"resource": resource}


async def test_a_file_is_blocked_listed_and_allowed_again(run: Run) -> None:
    await run("root", "admin", "grant", "root")
    sha256 = "ab" * 32
    ((added, _, note),) = await run("root", "block", "add", "service:", sha256, "--note", "case 17")
    assert (added, note) == (sha256, "case 17")
    assert [line[0] for line in await run("root", "block", "list", "service:")] == [sha256]
    await run("root", "block", "remove", "service:", sha256)
    assert await run("root", "block", "list", "service:") == []


async def test_projects_and_media_change_hands(run: Run, ann: Caller, bob: Caller) -> None:
    await run("root", "admin", "grant", "root")
    await run("root", "org", "create", "acme")
    for user in ("ann", "bob"):
        await run("root", "grant", "set", "organization:acme", f"user:{user}", "member")
    await run("root", "grant", "set", "owner:acme/user:bob", "user:ann", "editor")
    ((project, *_),) = await run(
        "ann", "project", "create", "Summer", "--org", "acme", "--user", "ann"
    )
    resource = f"project:{project}"
    assert await run("ann", "grant", "role", resource) == [[resource, "OWNER"]]
    shown = [[project, "OWNER", "acme", "Summer"]]
    assert await run("ann", "project", "show", project) == shown

    media = (await store_in(ann, project, jpeg(), "beach.jpg")).media_id
    for nothing in ([], ["--project", project, "--no-project"]):
        refused = await run.result("ann", "transfer", media, *nothing)
        assert (refused.exit_code, "--no-project" in refused.stderr) == (2, True)
    await run("ann", "transfer", media, "--owner", "user:bob", "--no-project")
    assert [(it.owner.id, it.project_id) for it in await listed(bob)] == [("bob", "")]

    refused = await run.result("ann", "project", "transfer", project, "bob")
    assert "bob is not TYPE:ID" in refused.stderr
    ((_, role, *_),) = await run("ann", "project", "transfer", project, "user:bob")
    assert role == "-"  # of ann, from now on
    assert await run("bob", "project", "delete", project) == []
    ((group, *_),) = await run("root", "group", "create", "acme", "Editors")
    await run("root", "group", "add", group, "user:bob", "user:ann")
    assert await run("root", "group", "members", group) == [["user:ann"], ["user:bob"]]


async def test_the_audit_log_of_a_project_is_counted_and_exported(
    run: Run, ann: Caller, tmp_path: Path
) -> None:
    project = (await create_project(ann)).project_id
    media = (await store_in(ann, project, jpeg(), "beach.jpg")).media_id
    await ann.content(media)
    file = tmp_path / "access.csv"

    async def exported() -> bool:
        output = ["--csv", "--since", "1d", "-o", str(file)]
        await run("ann", "audit", "export", f"project:{project}", *output)
        return "media.download" in file.read_text()

    await eventually_async(exported)
    header, *rows = file.read_text().splitlines()
    assert "action" in header.split(",")
    assert any(media in row for row in rows)
    before = file.read_text()
    refused = await run.result("ann", "audit", "export", "project:unknown", "-o", str(file))
    assert (refused.exit_code, file.read_text()) == (1, before)
    mine = await run.result("ann", "audit", "export")
    actions = [json.loads(line)["action"] for line in mine.stdout.splitlines()]
    assert "projects.create" in actions
    *_, total = await run("ann", "audit", "analytics", f"project:{project}")
    assert total[0] == "total"
    refused = await run.result("ann", "audit", "export", "beach.jpg")
    assert (refused.exit_code, "is not media:ID" in refused.stderr) == (2, True)
