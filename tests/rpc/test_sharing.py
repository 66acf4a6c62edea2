"""Projects, groups and grants give others access to media, uploads and jobs."""

from collections.abc import Coroutine
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from mediaservice.v1 import access_service_pb2 as access
from mediaservice.v1 import job_service_pb2, media_pb2, upload_service_pb2
from mediaservice.v1.rule_pb2 import Rule

from tests.support.media.small_files import jpeg
from tests.support.rpc.catalogue import delete, get, names, purge, update
from tests.support.rpc.jobs import cancel, process, retry
from tests.support.rpc.server import Caller, Running, refused
from tests.support.rpc.sharing import (
    add_member,
    create_group,
    create_organization,
    create_project,
    grant,
    grants,
    make_administrator,
    remove_member,
    revoke,
    role_on,
    store_in,
)

ROLES = ("VIEWER", "COMMENTER", "EDITOR", "MANAGER", "OWNER")


async def uploads_of(caller: Caller) -> list[str]:
    request = upload_service_pb2.ListUploadsRequest()
    page = await caller.call(caller.uploads.ListUploads, request)
    return [upload.media_id for upload in page.uploads]


async def jobs_of(caller: Caller) -> list[str]:
    page = await caller.call(caller.jobs.ListJobs, job_service_pb2.ListJobsRequest())
    return [job.media_id for job in page.jobs]


async def test_members_of_a_project_share_its_media(ann: Caller, bob: Caller) -> None:
    project = await create_project(ann, "Summer in Paris!")
    assert project.project_id.startswith("summer-in-paris-")
    media = await store_in(ann, project.project_id, jpeg(), "paris.jpg")
    await ann.store(jpeg(), "private.jpg")
    assert (await refused(get(bob, media.media_id))).reason == "MEDIA_NOT_FOUND"
    assert await names(bob) == []
    await grant(ann, f"project:{project.project_id}", "user:bob", "VIEWER")
    assert (await get(bob, media.media_id)).filename == "paris.jpg"
    assert await bob.content(media.media_id) == jpeg()
    assert await names(bob) == await names(bob, project_id=project.project_id) == ["paris.jpg"]
    assert await uploads_of(bob) == await jobs_of(bob) == [media.media_id]
    refusal = await refused(update(bob, ["title"], media_id=media.media_id, title="x"))
    assert (refusal.reason, refusal.metadata) == ("ROLE_REQUIRED", {"role": "EDITOR"})
    await revoke(ann, f"project:{project.project_id}", "user:bob")
    assert (await refused(get(bob, media.media_id))).reason == "MEDIA_NOT_FOUND"
    assert await names(bob) == await uploads_of(bob) == await jobs_of(bob) == []


@pytest.mark.parametrize("role", ROLES)
async def test_the_contract_says_which_role_a_method_needs(
    ann: Caller, bob: Caller, role: str
) -> None:
    media = await ann.store(jpeg())
    await grant(ann, f"media:{media.media_id}", "user:bob", role)
    assert await role_on(bob, f"media:{media.media_id}") == role
    level = ROLES.index(role)
    calls: dict[str, Coroutine[Any, Any, Any]] = {
        "EDITOR": update(bob, ["title"], media_id=media.media_id, title="x"),
        "MANAGER": delete(bob, media.media_id),
        "OWNER": purge(bob, media.media_id),
    }
    for needed, call in calls.items():
        if level >= ROLES.index(needed):
            await call
        else:
            assert (await refused(call)).metadata == {"role": needed}


async def test_a_grant_ends_at_its_expiry(ann: Caller, bob: Caller, service: Running) -> None:
    media = await ann.store(jpeg())
    expire_time = Timestamp()
    expire_time.GetCurrentTime()
    expire_time.seconds += 3600
    await grant(ann, f"media:{media.media_id}", "user:bob", expire_time=expire_time)
    assert await names(bob) == ["a.jpg"]
    async with service.database() as db:
        await db.execute("update access_grants set expire_time = now()")
    assert await names(bob) == []
    assert (await refused(get(bob, media.media_id))).reason == "MEDIA_NOT_FOUND"
    assert await grants(ann, f"media:{media.media_id}") == {}


async def test_a_project_is_needed_to_upload_into_it(ann: Caller, bob: Caller) -> None:
    project = await create_project(ann)
    resource = f"project:{project.project_id}"
    for missing in ("no-such-project", project.project_id):
        refusal = await refused(store_in(bob, missing, jpeg()))
        assert (refusal.reason, refusal.metadata) == ("PROJECT_NOT_FOUND", {"project_id": missing})
    await grant(ann, resource, "user:bob", "VIEWER")
    refusal = await refused(store_in(bob, project.project_id, jpeg()))
    assert (refusal.reason, refusal.metadata) == ("ROLE_REQUIRED", {"role": "EDITOR"})
    await grant(ann, resource, "user:bob", "EDITOR")
    media = await store_in(bob, project.project_id, jpeg(), "bobs.jpg")
    assert (media.owner.id, media.project_id) == ("bob", project.project_id)
    assert await names(ann) == ["bobs.jpg"]
    assert await role_on(ann, f"media:{media.media_id}") == "OWNER"


async def test_an_organization_is_isolated(service: Running, ann: Caller, bob: Caller) -> None:
    await make_administrator(service, "root")
    root = await service.caller("root")
    refusal = await refused(create_organization(ann, "acme"))
    assert refusal.reason == "RESOURCE_NOT_FOUND"
    await create_organization(root, "acme")
    assert (await refused(create_organization(root, "acme"))).reason == "ORGANIZATION_EXISTS"
    await grant(root, "organization:acme", "user:ann", "ROLE_UNSPECIFIED")
    project = await create_project(ann, organization_id="acme")
    assert project.owner.organization_id == "acme"
    media = await store_in(ann, project.project_id, jpeg(), "secret.jpg")
    assert media.owner.organization_id == "acme"
    # A grant to somebody outside has no effect until they belong to the organization.
    await grant(ann, f"media:{media.media_id}", "user:bob", "OWNER")
    assert (await refused(get(bob, media.media_id))).reason == "MEDIA_NOT_FOUND"
    assert await names(bob) == []
    await grant(root, "organization:acme", "user:bob", "ROLE_UNSPECIFIED")
    assert await names(bob) == ["secret.jpg"]
    assert await role_on(bob, f"media:{media.media_id}") == "OWNER"
    await revoke(root, "organization:acme", "user:bob")
    await revoke(root, "organization:acme", "user:ann")
    for caller in (ann, bob):
        assert (await refused(get(caller, media.media_id))).reason == "MEDIA_NOT_FOUND"
        assert await names(caller) == []
    assert await names(root) == ["secret.jpg"]
    assert await role_on(root, f"media:{media.media_id}") == "OWNER"


async def test_a_group_has_what_is_granted_to_it(
    service: Running, ann: Caller, bob: Caller
) -> None:
    await make_administrator(service, "root")
    root = await service.caller("root")
    await create_organization(root, "acme")
    for user in ("ann", "bob"):
        await grant(root, "organization:acme", f"user:{user}", "ROLE_UNSPECIFIED")
    group = await create_group(root, "acme")
    project = await create_project(ann, organization_id="acme")
    media = await store_in(ann, project.project_id, jpeg(), "shared.jpg")
    await grant(ann, f"project:{project.project_id}", f"group:{group.group_id}", "EDITOR")
    assert await names(bob) == []
    await add_member(root, group.group_id, "user:bob")
    assert await names(bob) == ["shared.jpg"]
    assert (await update(bob, ["title"], media_id=media.media_id, title="x")).title == "x"
    await remove_member(root, group.group_id, "user:bob")
    assert await names(bob) == []
    assert (await refused(get(bob, media.media_id))).reason == "MEDIA_NOT_FOUND"
    # Groups of an organization have nothing outside of it.
    own = await ann.store(jpeg())
    refusal = await refused(grant(ann, f"media:{own.media_id}", f"group:{group.group_id}"))
    assert refusal.reason == "GRANTEE_NOT_ALLOWED"


async def test_nobody_grants_more_than_they_have(ann: Caller, bob: Caller) -> None:
    resource = f"project:{(await create_project(ann)).project_id}"
    await grant(ann, resource, "user:bob", "MANAGER")
    await grant(bob, resource, "user:cat", "MANAGER")
    for call in (
        grant(bob, resource, "user:bob", "OWNER"),
        grant(bob, resource, "user:ann", "VIEWER"),
        revoke(bob, resource, "user:ann"),
    ):
        assert (await refused(call)).metadata == {"role": "OWNER"}
    assert await grants(ann, resource) == {
        "user:ann": "OWNER",
        "user:bob": "MANAGER",
        "user:cat": "MANAGER",
    }
    await grant(ann, resource, "user:bob", "VIEWER")
    assert (await refused(grant(bob, resource, "user:eve"))).metadata == {"role": "MANAGER"}
    assert (await refused(grants(bob, resource))).metadata == {"role": "MANAGER"}
    await revoke(bob, resource, "user:bob")  # everybody may leave
    assert (await refused(grants(bob, resource))).reason == "RESOURCE_NOT_FOUND"


async def test_callers_act_for_an_owner_by_a_grant(ann: Caller, bob: Caller) -> None:
    media = await ann.store(jpeg(), "anns.jpg")
    await grant(ann, "owner:/user:ann", "user:bob", "EDITOR")
    assert await names(bob) == ["anns.jpg"]
    assert (await update(bob, ["title"], media_id=media.media_id, title="x")).title == "x"


async def test_everybody_with_a_token_reads_what_is_granted_to_everybody(
    ann: Caller, bob: Caller
) -> None:
    media = await ann.store(jpeg(), "all.jpg")
    await grant(ann, f"media:{media.media_id}", "everybody")
    assert await names(bob) == ["all.jpg"]


async def test_lists_have_pages(service: Running, ann: Caller) -> None:
    await make_administrator(service, "root")
    root = await service.caller("root")
    for name in ("a", "b", "c"):
        await create_organization(root, name)
        await grant(root, f"organization:{name}", "user:ann", "VIEWER")
    groups = [(await create_group(root, "a")).group_id for _ in range(3)]
    for user in ("x", "y", "z"):
        await add_member(root, groups[0], f"user:{user}")
    projects = [(await create_project(ann, organization_id="b")).project_id for _ in range(3)]
    listings: dict[str, tuple[Any, Any, list[str]]] = {
        "organizations": (
            *(ann.access.ListOrganizations, access.ListOrganizationsRequest()),
            ["a", "b", "c"],
        ),
        "projects": (
            *(ann.access.ListProjects, access.ListProjectsRequest(organization_id="b")),
            projects[::-1],
        ),
        "groups": (
            *(ann.access.ListGroups, access.ListGroupsRequest(organization_id="a")),
            groups[::-1],
        ),
        "members": (
            *(ann.access.ListGroupMembers, access.ListGroupMembersRequest(group_id=groups[0])),
            ["user:x", "user:y", "user:z"],
        ),
        "grants": (
            *(ann.access.ListGrants, access.ListGrantsRequest(resource="owner:/user:ann")),
            ["user:x", "user:y", "user:z"],
        ),
    }
    for user in ("x", "y", "z"):
        await grant(ann, "owner:/user:ann", f"user:{user}")
    for field, (method, request, expected) in listings.items():
        request.page_size = 2
        found: list[Any] = []
        pages = 0
        while pages == 0 or request.page_token:
            page: Any = await ann.call(method, request)
            found += getattr(page, field)
            request.page_token, pages = page.next_page_token, pages + 1
        key = {"members": "member", "grants": "grantee"}.get(field, f"{field[:-1]}_id")
        assert ([getattr(each, key) for each in found], pages) == (expected, 2), field
    everywhere = await ann.call(ann.access.ListProjects, access.ListProjectsRequest())
    assert [each.project_id for each in everywhere.projects] == projects[::-1]
    got = access.GetProjectRequest(project_id=projects[0])
    assert await ann.call(ann.access.GetProject, got) == everywhere.projects[2]
    await root.call(root.access.DeleteGroup, access.DeleteGroupRequest(group_id=groups[0]))
    missing = access.ListGroupMembersRequest(group_id=groups[0])
    assert (await refused(ann.call(ann.access.ListGroupMembers, missing))).reason == (
        "GROUP_NOT_FOUND"
    )
    outside = access.ListGroupsRequest(organization_id="b")
    bob = await service.caller("bob")
    assert (await refused(bob.call(bob.access.ListGroups, outside))).reason == (
        "ORGANIZATION_NOT_FOUND"
    )
    with_role = await ann.call(ann.access.ListOrganizations, access.ListOrganizationsRequest())
    assert {each.role for each in with_role.organizations} == {Rule.VIEWER}


@pytest.mark.parametrize(
    ("resource", "grantee", "role"),
    [
        ("media:1", "user:bob", "VIEWER"),
        ("film:1", "user:bob", "VIEWER"),
        ("project", "user:bob", "VIEWER"),
        ("owner:user:ann", "user:bob", "VIEWER"),
        ("owner:/user:ann", "bob", "VIEWER"),
        ("owner:/user:ann", "user:", "VIEWER"),
        ("owner:/user:ann", "link:1", "VIEWER"),
        ("owner:/user:ann", "user:" + "x" * 513, "VIEWER"),
        ("owner:/user:ann", "user:bob", "ROLE_UNSPECIFIED"),
        ("owner:/user:ann", "user:b\0b", "VIEWER"),
    ],
)
async def test_a_malformed_grant_is_refused(
    ann: Caller, resource: str, grantee: str, role: str
) -> None:
    assert (await refused(grant(ann, resource, grantee, role))).reason == "INVALID_FIELD"


async def test_a_claim_narrows_the_caller_to_one_organization(service: Running) -> None:
    ann, claiming = await service.caller("ann"), await service.caller("ann", org="acme")
    await ann.store(jpeg(), "own.jpg")
    media = await claiming.store(jpeg(), "of-acme.jpg")
    assert media.owner.organization_id == "acme"
    assert await names(claiming) == ["of-acme.jpg"]
    assert await names(ann) == ["own.jpg"], "the table does not list ann"
    await make_administrator(service, "root")
    root = await service.caller("root")
    request = access.CreateOrganizationRequest(organization_id="acme", issuer="https://other")
    await root.call(root.access.CreateOrganization, request)
    assert await names(claiming) == [], "the organization is bound to another issuer"
    refusal = await refused(claiming.store(jpeg()))
    assert refusal.reason == "OWNER_NOT_ALLOWED"
    await grant(root, "organization:acme", "user:ann", "ROLE_UNSPECIFIED")
    assert await names(claiming) == ["of-acme.jpg"]
    assert await names(ann) == ["of-acme.jpg", "own.jpg"]


async def test_jobs_take_the_turns_of_the_caller_who_started_them(
    ann: Caller, bob: Caller, service: Running
) -> None:
    media = await ann.store(jpeg())
    await grant(ann, f"media:{media.media_id}", "user:bob", "EDITOR")
    job = await process(bob, media.media_id, "resize:8x")

    async def turn() -> Any:
        async with service.database() as db:
            found = await db.execute(
                "select owner_id, turn_id from jobs where job_id = %s", (job.job_id,)
            )
            return await found.fetchone()

    assert await turn() == ("ann", "bob")
    await cancel(ann, job.job_id)
    await retry(ann, job.job_id)
    assert await turn() == ("ann", "ann")


# Projects and owners that change


async def transfer_project(caller: Caller, project_id: str, **owner: str) -> access.Project:
    request = access.TransferProjectRequest(project_id=project_id, owner=media_pb2.Owner(**owner))
    return await caller.call(caller.access.TransferProject, request)


async def transfer_media(
    caller: Caller, media_id: str, project_id: str | None = None, **owner: str
) -> media_pb2.Media:
    given = media_pb2.Owner(**owner) if owner else None
    request = access.TransferMediaRequest(media_id=media_id, project_id=project_id, owner=given)
    return await caller.call(caller.access.TransferMedia, request)


async def test_a_project_is_renamed_and_deleted_once_it_is_empty(ann: Caller, bob: Caller) -> None:
    project_id = (await create_project(ann)).project_id
    rename = access.UpdateProjectRequest(project_id=project_id, display_name="Paris")
    assert (await ann.call(ann.access.UpdateProject, rename)).display_name == "Paris"
    removal = access.DeleteProjectRequest(project_id=project_id)
    media = await store_in(ann, project_id, jpeg())
    refusal = await refused(ann.call(ann.access.DeleteProject, removal))
    assert (refusal.reason, refusal.metadata) == ("PROJECT_NOT_EMPTY", {"project_id": project_id})
    await delete(ann, media.media_id)
    await purge(ann, media.media_id)
    await grant(ann, f"project:{project_id}", "user:bob", "MANAGER")
    assert (await refused(bob.call(bob.access.DeleteProject, removal))).metadata == {
        "role": "OWNER"
    }
    await ann.call(ann.access.DeleteProject, removal)
    for caller in (ann, bob):
        refusal = await refused(role_on(caller, f"project:{project_id}"))
        assert refusal.reason == "RESOURCE_NOT_FOUND"


async def test_a_project_is_transferred_to_an_owner_who_agrees(ann: Caller, bob: Caller) -> None:
    project_id = (await create_project(ann)).project_id
    media = await store_in(ann, project_id, jpeg())
    to_bob = {"type": "user", "id": "bob"}
    refusal = await refused(transfer_project(ann, project_id, **to_bob))
    assert refusal.reason == "OWNER_NOT_ALLOWED", "bob has not agreed"
    await grant(bob, "owner:/user:bob", "user:ann", "EDITOR")
    assert (await transfer_project(ann, project_id, **to_bob)).owner.id == "bob"
    assert await role_on(bob, f"media:{media.media_id}") == "OWNER"
    refusal = await refused(role_on(ann, f"project:{project_id}"))
    assert refusal.reason == "RESOURCE_NOT_FOUND"
    assert await role_on(ann, f"media:{media.media_id}") == "OWNER", "she still owns the media"


async def test_a_media_is_transferred_with_its_uploads_and_jobs(ann: Caller, bob: Caller) -> None:
    media = await ann.store(jpeg())
    target = (await create_project(bob)).project_id
    await grant(bob, "owner:/user:bob", "user:ann", "EDITOR")
    refusal = await refused(transfer_media(ann, media.media_id, target))
    assert refusal.reason == "PROJECT_NOT_FOUND"
    outside = {"type": "user", "id": "bob", "organization_id": "acme"}
    refusal = await refused(transfer_media(ann, media.media_id, **outside))
    assert refusal.reason == "OWNER_NOT_ALLOWED"
    await grant(bob, f"project:{target}", "user:ann", "EDITOR")
    moved = await transfer_media(ann, media.media_id, target, type="user", id="bob")
    assert (moved.owner.id, moved.project_id) == ("bob", target)
    assert await uploads_of(bob) == await jobs_of(bob) == [media.media_id]
    await revoke(bob, f"project:{target}", "user:ann")
    await revoke(bob, "owner:/user:bob", "user:ann")
    assert await names(ann) == await uploads_of(ann) == await jobs_of(ann) == []
    own = await transfer_media(bob, media.media_id, "")
    assert (own.owner.id, own.project_id) == ("bob", "")
