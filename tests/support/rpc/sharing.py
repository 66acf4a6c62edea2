"""Calls of AccessService, and rows that no call can add."""

from typing import Any

from mediaservice.v1 import access_service_pb2 as access
from mediaservice.v1 import media_pb2, upload_service_pb2
from mediaservice.v1.rule_pb2 import Rule

from tests.support.rpc.server import Caller, Running


async def add_project(service: Running, project_id: str, user: str = "ann", org: str = "") -> None:
    """A project with a chosen id, as the migration makes of labels."""
    async with service.database() as db:
        await db.execute(
            "insert into projects (project_id, org_id, owner_type, owner_id)"
            " values (%s, %s, 'user', %s)",
            (project_id, org, user),
        )
        await db.execute(
            "insert into access_grants (resource, grantee, role) values (%s, %s, 5)",
            (f"project:{project_id}", f"user:{user}"),
        )


async def make_administrator(service: Running, user: str) -> None:
    """As `media-service admin grant`."""
    async with service.database() as db:
        await db.execute(
            "insert into access_grants (resource, grantee, role) values ('service:', %s, 5)",
            (f"user:{user}",),
        )


async def create_organization(admin: Caller, organization_id: str) -> access.Organization:
    request = access.CreateOrganizationRequest(organization_id=organization_id)
    return await admin.call(admin.access.CreateOrganization, request)


async def create_project(
    caller: Caller, display_name: str = "Vacation", organization_id: str = ""
) -> access.Project:
    request = access.CreateProjectRequest(display_name=display_name)
    if organization_id:
        owner = media_pb2.Owner(type="user", id="ann", organization_id=organization_id)
        request.owner.CopyFrom(owner)
    return await caller.call(caller.access.CreateProject, request)


async def create_group(caller: Caller, organization_id: str) -> access.Group:
    request = access.CreateGroupRequest(organization_id=organization_id, display_name="Editors")
    return await caller.call(caller.access.CreateGroup, request)


async def add_member(caller: Caller, group_id: str, member: str) -> access.Group:
    request = access.AddGroupMemberRequest(group_id=group_id, member=member)
    return await caller.call(caller.access.AddGroupMember, request)


async def remove_member(caller: Caller, group_id: str, member: str) -> access.Group:
    request = access.RemoveGroupMemberRequest(group_id=group_id, member=member)
    return await caller.call(caller.access.RemoveGroupMember, request)


async def grant(
    caller: Caller, resource: str, grantee: str, role: str = "VIEWER", **fields: Any
) -> access.Grant:
    request = access.SetGrantRequest(
        resource=resource, grantee=grantee, role=Rule.Role.Value(role), **fields
    )
    return await caller.call(caller.access.SetGrant, request)


async def revoke(caller: Caller, resource: str, grantee: str) -> None:
    request = access.DeleteGrantRequest(resource=resource, grantee=grantee)
    await caller.call(caller.access.DeleteGrant, request)


async def grants(caller: Caller, resource: str) -> dict[str, str]:
    """The roles on a resource by grantee."""
    request = access.ListGrantsRequest(resource=resource)
    found = (await caller.call(caller.access.ListGrants, request)).grants
    return {each.grantee: Rule.Role.Name(each.role) for each in found}


async def role_on(caller: Caller, resource: str) -> str:
    request = access.GetAccessRequest(resource=resource)
    return Rule.Role.Name((await caller.call(caller.access.GetAccess, request)).role)


async def store_in(
    caller: Caller, project_id: str, data: bytes, filename: str = "a.jpg"
) -> media_pb2.Media:
    """Stores a file in a project."""
    message = upload_service_pb2.WriteUploadRequest(data=data, finish=True)
    message.spec.filename = filename
    message.spec.project_id = project_id
    return (await caller.write([message])).media
