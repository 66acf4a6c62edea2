"""Nobody gets a higher role, or a longer one, than somebody with that role gave them."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from mediaservice.v1 import access_service_pb2 as access
from mediaservice.v1 import credentials_service_pb2 as credentials
from mediaservice.v1 import media_pb2

from media_service.clock import now
from tests.support.media.small_files import jpeg
from tests.support.rpc.catalogue import names
from tests.support.rpc.credentials import account, api_key, delete_account
from tests.support.rpc.server import Caller, Running, refusal, refused
from tests.support.rpc.sharing import (
    add_member,
    add_project,
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
from tests.support.tools import eventually_async

ACME = "organization:acme"
WAITING = """
    select count(*)::int from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'
"""
Join = Callable[..., Awaitable[Caller]]


@pytest.fixture
async def root(service: Running) -> Caller:
    """An administrator, who has created the organization acme."""
    await make_administrator(service, "root")
    root = await service.caller("root")
    await create_organization(root, "acme")
    return root


@pytest.fixture
def join(service: Running, root: Caller) -> Join:
    """Adds a user to the organization, with a role, and returns them, acting for it."""

    async def join(user: str, role: str = "ROLE_UNSPECIFIED") -> Caller:
        await grant(root, ACME, f"user:{user}", role)
        return await service.caller(user, org="acme")

    return join


def in_an_hour() -> Timestamp:
    time = Timestamp()
    time.FromDatetime(now() + timedelta(hours=1))
    return time


async def revoke_key(caller: Caller, created: credentials.CreateApiKeyResponse) -> None:
    request = credentials.RevokeApiKeyRequest(api_key_id=created.api_key.api_key_id)
    await caller.call(caller.credentials.RevokeApiKey, request)


async def at_once(service: Running, table: str, *calls: Awaitable[Any]) -> list[Any]:
    """The results of concurrent calls: each waits to write into the table when the next begins."""
    tasks: list[asyncio.Future[Any]] = []
    async with service.database() as db, service.database() as observer:

        async def all_wait() -> bool:
            found = await (await observer.execute(WAITING)).fetchone()
            return found == (len(tasks),)

        async with db.transaction():
            await db.execute(f"lock table {table} in share mode".encode())
            for call in calls:
                tasks.append(asyncio.ensure_future(call))
                await eventually_async(all_wait)
    return await asyncio.gather(*tasks, return_exceptions=True)


async def delete_group(caller: Caller, group_id: str) -> None:
    await caller.call(caller.access.DeleteGroup, access.DeleteGroupRequest(group_id=group_id))


# Service accounts


@pytest.mark.parametrize("by_group", [False, True])
async def test_a_manager_does_not_control_a_service_account_with_a_higher_role(
    service: Running, join: Join, *, by_group: bool
) -> None:
    ann, bob = await join("ann", "OWNER"), await join("bob", "MANAGER")
    robot = await account(ann)
    name = f"service_account:{robot}"
    if by_group:
        group = await create_group(ann, "acme")
        await add_member(ann, group.group_id, name)
        name = f"group:{group.group_id}"
    await grant(ann, ACME, name, "OWNER")
    assert (await refused(api_key(bob, robot))).metadata == {"role": "OWNER"}
    assert (await refused(delete_account(bob, robot))).metadata == {"role": "OWNER"}
    created = await api_key(ann, robot)
    assert (await refused(revoke_key(bob, created))).metadata == {"role": "OWNER"}
    assert await role_on(await service.bearer(created.key), ACME) == "OWNER"
    await grant(ann, ACME, name, "MANAGER")
    await revoke_key(bob, created)
    await api_key(bob, robot)
    await delete_account(bob, robot)


async def test_only_roles_in_its_organization_are_roles_of_a_service_account(
    service: Running, join: Join
) -> None:
    bob, dan = await join("bob", "MANAGER"), await join("dan")
    robot = await account(bob)
    stranger = await service.caller("stranger")
    media = await stranger.store(jpeg())
    await grant(stranger, f"media:{media.media_id}", f"service_account:{robot}", "OWNER")
    inside = f"media:{(await dan.store(jpeg())).media_id}"
    await grant(dan, inside, "everybody", "OWNER")
    await api_key(bob, robot)
    await grant(dan, inside, f"service_account:{robot}", "OWNER")
    assert (await refused(api_key(bob, robot))).metadata == {"role": "OWNER"}


async def test_only_administrators_control_a_service_account_that_is_one(
    service: Running, root: Caller, ann: Caller
) -> None:
    robot = await account(ann)
    await grant(root, "service:", f"service_account:{robot}", "OWNER")
    assert (await refused(api_key(ann, robot))).metadata == {"role": "OWNER"}
    assert (await refused(delete_account(ann, robot))).metadata == {"role": "OWNER"}
    created = await api_key(root, robot)
    assert await role_on(await service.bearer(created.key), "service:") == "OWNER"


# Projects as grantees


async def test_a_role_through_a_project_is_no_higher_than_the_one_on_it(
    ann: Caller, bob: Caller
) -> None:
    p, q = [(await create_project(ann)).project_id for _ in range(2)]
    media = await store_in(ann, q, jpeg())
    await grant(ann, f"project:{p}", "user:bob", "VIEWER")
    await grant(ann, f"project:{q}", f"project:{p}", "OWNER")
    for resource in (f"project:{q}", f"media:{media.media_id}"):
        assert await role_on(bob, resource) == "VIEWER"
    await grant(ann, f"project:{p}", "user:bob", "MANAGER")
    await grant(ann, f"project:{q}", f"project:{p}", "EDITOR")
    assert await role_on(bob, f"project:{q}") == "EDITOR"
    assert await names(bob) == ["a.jpg"]


async def test_a_project_of_others_is_refused_like_one_that_does_not_exist(
    service: Running, ann: Caller, bob: Caller
) -> None:
    await add_project(service, "wedding", "ann")
    media = f"media:{(await bob.store(jpeg())).media_id}"
    for project in ("wedding", "no-such"):
        refusal = await refused(grant(bob, media, f"project:{project}"))
        assert (refusal.reason, refusal.metadata) == (
            "GRANTEE_NOT_ALLOWED",
            {"grantee": f"project:{project}"},
        )
    await grant(ann, "project:wedding", "user:bob")
    await grant(bob, media, "project:wedding")
    assert await names(ann) == ["a.jpg"]


# Grants that are taken away indirectly


async def test_a_manager_takes_no_higher_role_away(
    service: Running, root: Caller, join: Join
) -> None:
    bob, olga = await join("bob", "MANAGER"), await join("olga")
    group_id = (await create_group(root, "acme")).group_id
    await add_member(root, group_id, "user:olga")
    await grant(root, ACME, f"group:{group_id}", "OWNER")
    for call in (
        revoke(bob, ACME, f"group:{group_id}"),
        remove_member(bob, group_id, "user:olga"),
        delete_group(bob, group_id),
        revoke(bob, ACME, "user:olga"),
        grant(bob, ACME, "user:olga", "VIEWER", expire_time=in_an_hour()),
    ):
        assert (await refused(call)).metadata == {"role": "OWNER"}
    assert await role_on(olga, ACME) == "OWNER"
    await grant(root, ACME, f"group:{group_id}", "MANAGER")
    await remove_member(bob, group_id, "user:olga")
    await revoke(bob, ACME, "user:olga")
    await delete_group(bob, group_id)


async def test_the_owner_of_a_project_stays_its_owner(
    service: Running, ann: Caller, bob: Caller
) -> None:
    project_id = (await create_project(ann)).project_id
    resource = f"project:{project_id}"
    await grant(ann, resource, "user:bob", "OWNER")
    await revoke(bob, resource, "user:ann")
    await revoke(bob, resource, "user:bob")
    assert await role_on(ann, resource) == "OWNER"
    listed = await ann.call(ann.access.ListProjects, access.ListProjectsRequest())
    assert [(each.project_id, each.role) for each in listed.projects] == [(project_id, 5)]
    await grant(ann, resource, "user:ann", "OWNER")
    assert (await refused(role_on(bob, resource))).reason == "RESOURCE_NOT_FOUND"


async def test_a_project_that_is_transferred_to_no_person_keeps_an_owner(
    root: Caller, ann: Caller
) -> None:
    project_id = (await create_project(ann)).project_id
    await grant(root, "owner:/event:gala", "user:ann", "EDITOR")
    owner = media_pb2.Owner(type="event", id="gala")
    request = access.TransferProjectRequest(project_id=project_id, owner=owner)
    await ann.call(ann.access.TransferProject, request)
    assert await role_on(ann, f"project:{project_id}") == "OWNER"


# Changes at the same moment


async def test_of_two_owners_who_remove_each_other_one_stays(
    service: Running, root: Caller, join: Join
) -> None:
    ann, bob = await join("ann", "OWNER"), await join("bob", "OWNER")
    found = await at_once(
        *(service, "access_grants"),
        *(revoke(ann, ACME, "user:bob"), revoke(bob, ACME, "user:ann")),
    )
    assert [each and refusal(each).reason for each in found] == [None, "RESOURCE_NOT_FOUND"]
    assert await grants(root, ACME) == {"user:ann": "OWNER"}


async def test_of_two_owners_by_a_group_who_remove_each_other_one_stays(
    service: Running, root: Caller, join: Join
) -> None:
    ann, bob = await join("ann"), await join("bob")
    group_id = (await create_group(root, "acme")).group_id
    await grant(root, ACME, f"group:{group_id}", "OWNER")
    for user in ("ann", "bob"):
        await add_member(root, group_id, f"user:{user}")
    first, second = await at_once(
        *(service, "group_members"),
        *(remove_member(ann, group_id, "user:bob"), remove_member(bob, group_id, "user:ann")),
    )
    assert first.group_id == group_id
    assert refusal(second).reason == "GROUP_NOT_FOUND"
    assert await role_on(ann, ACME) == "OWNER"


async def test_a_manager_does_not_lower_a_role_that_is_just_granted(
    service: Running, root: Caller, join: Join
) -> None:
    bob = await join("bob", "MANAGER")
    first, second = await at_once(
        *(service, "access_grants"),
        grant(root, ACME, "user:olga", "OWNER"),
        grant(bob, ACME, "user:olga", "VIEWER"),
    )
    assert first.grantee == "user:olga"
    assert refusal(second).metadata == {"role": "OWNER"}
    assert (await grants(root, ACME))["user:olga"] == "OWNER"


# Roles that expire


async def test_a_grant_does_not_outlast_the_role_of_its_author(ann: Caller, bob: Caller) -> None:
    resource = f"project:{(await create_project(ann)).project_id}"
    end, later = in_an_hour(), in_an_hour()
    later.seconds += 60
    await grant(ann, resource, "user:bob", "MANAGER", expire_time=end)
    endings: list[dict[str, Timestamp]] = [{}, {"expire_time": later}]
    for fields in endings:
        for user in ("bob", "cat"):
            refusal = await refused(grant(bob, resource, f"user:{user}", "MANAGER", **fields))
            assert (refusal.reason, refusal.metadata) == ("ROLE_REQUIRED", {"role": "MANAGER"})
    assert (await grant(bob, resource, "user:cat", "MANAGER", expire_time=end)).expire_time == end
    await grant(ann, resource, "everybody", "VIEWER")
    await grant(bob, resource, "user:cat", "VIEWER")  # which bob remains


async def test_a_temporary_role_gives_nothing_permanent(root: Caller, join: Join) -> None:
    ann = await join("ann", "OWNER")
    bob = await join("bob")
    await grant(root, ACME, "user:bob", "OWNER", expire_time=in_an_hour())
    group_id, robot = (await create_group(ann, "acme")).group_id, await account(ann)
    project_id = (await create_project(ann, organization_id="acme")).project_id
    media = await store_in(ann, project_id, jpeg())
    for grantee in (f"group:{group_id}", f"service_account:{robot}"):
        await grant(ann, ACME, grantee, "VIEWER")
    to_bob = media_pb2.Owner(type="user", id="bob", organization_id="acme")
    project = access.TransferProjectRequest(project_id=project_id, owner=to_bob)
    moved = access.TransferMediaRequest(media_id=media.media_id, owner=to_bob)
    for call, role in (
        (grant(bob, ACME, "user:cat", "ROLE_UNSPECIFIED"), "VIEWER"),
        (add_member(bob, group_id, "user:cat"), "VIEWER"),
        (api_key(bob, robot), "VIEWER"),
        (bob.call(bob.access.TransferProject, project), "OWNER"),
        (bob.call(bob.access.TransferMedia, moved), "OWNER"),
    ):
        refusal = await refused(call)
        assert (refusal.reason, refusal.metadata) == ("ROLE_REQUIRED", {"role": role})
    soon = Timestamp(seconds=in_an_hour().seconds - 60)
    await api_key(bob, robot, expire_time=soon)
    await grant(root, ACME, "user:bob", "OWNER")
    await add_member(bob, group_id, "user:cat")
    await bob.call(bob.access.TransferMedia, moved)
    await bob.call(bob.access.TransferProject, project)


# Administrators and members


async def test_a_claim_narrows_an_administrator_too(service: Running, root: Caller) -> None:
    narrowed = await service.caller("root", org="acme")
    for call in (
        create_organization(narrowed, "globex"),
        grant(narrowed, "service:", "user:mallory", "OWNER"),
        role_on(narrowed, "service:"),
    ):
        assert (await refused(call)).reason == "RESOURCE_NOT_FOUND"
    assert await role_on(narrowed, ACME) == "OWNER"
    assert await grants(root, "service:") == {"user:root": "OWNER"}
    await create_organization(root, "globex")  # it does not exist yet
    request = access.ListOrganizationsRequest()
    for caller, expected in ((narrowed, ["acme"]), (root, ["acme", "globex"])):
        listed = await caller.call(caller.access.ListOrganizations, request)
        assert [each.organization_id for each in listed.organizations] == expected


async def test_a_member_without_a_role_leaves(service: Running, root: Caller, join: Join) -> None:
    dan = await join("dan")
    elsewhere = await service.caller("dan", org="globex")
    refusal = await refused(revoke(elsewhere, ACME, "user:dan"))
    assert refusal.reason == "RESOURCE_NOT_FOUND", "a claim narrows the caller to globex"
    await revoke(dan, ACME, "user:dan")
    assert await grants(root, ACME) == {}
