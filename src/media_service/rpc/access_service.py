"""Servicer of AccessService: converts messages and calls the use cases."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias

import grpc
from google.protobuf import empty_pb2
from mediaservice.v1 import access_service_pb2, access_service_pb2_grpc, media_pb2

from media_service.access.page_tokens import PageTokens
from media_service.access.role import Role
from media_service.media.service import MediaService
from media_service.rpc.caller import caller
from media_service.rpc.convert import (
    media_to_message,
    optional_timestamp,
    owner_from,
    owner_to_message,
    role_to_message,
    time_from,
    timestamp,
)
from media_service.rpc.pagination import page, page_size
from media_service.rpc.public_urls import PublicUrls
from media_service.sharing.grants import GrantService
from media_service.sharing.groups import GroupService
from media_service.sharing.model import Grant, Group, GroupMember, Organization, Project
from media_service.sharing.organizations import OrganizationService
from media_service.sharing.projects import ProjectService

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

BY_TIME = [datetime, str]
BY_NAME = [str]


class AccessServicer(access_service_pb2_grpc.AccessServiceServicer):
    def __init__(
        self,
        organizations: OrganizationService,
        projects: ProjectService,
        groups: GroupService,
        grants: GrantService,
        media: MediaService,
        page_tokens: PageTokens,
        public_urls: PublicUrls,
    ) -> None:
        self._media = media
        self._public_urls = public_urls
        self._organizations = organizations
        self._projects = projects
        self._groups = groups
        self._grants = grants
        self._page_tokens = page_tokens

    # Organizations

    async def CreateOrganization(  # noqa: N802
        self, request: access_service_pb2.CreateOrganizationRequest, context: Context
    ) -> access_service_pb2.Organization:
        created = await self._organizations.create(
            caller(), request.organization_id, request.display_name, request.issuer
        )
        return organization_to_message(created)

    async def ListOrganizations(  # noqa: N802
        self, request: access_service_pb2.ListOrganizationsRequest, context: Context
    ) -> access_service_pb2.ListOrganizationsResponse:
        query = ("organizations", caller().owner)
        after = self._after(query, request.page_token, BY_NAME)
        size = page_size(request.page_size)
        found = await self._organizations.page(caller(), after[0] if after else None, size + 1)
        organizations, token = await page(
            found,
            size,
            organization_to_message,
            lambda last: self._page_tokens.seal(query, [last.organization_id]),
        )
        return access_service_pb2.ListOrganizationsResponse(
            organizations=organizations, next_page_token=token
        )

    async def UpdateOrganization(  # noqa: N802
        self, request: access_service_pb2.UpdateOrganizationRequest, context: Context
    ) -> access_service_pb2.Organization:
        changed = await self._organizations.update(
            caller(),
            request.organization_id,
            request.display_name if request.HasField("display_name") else None,
            request.issuer if request.HasField("issuer") else None,
        )
        return organization_to_message(changed)

    async def DeleteOrganization(  # noqa: N802
        self, request: access_service_pb2.DeleteOrganizationRequest, context: Context
    ) -> empty_pb2.Empty:
        await self._organizations.delete(caller(), request.organization_id)
        return empty_pb2.Empty()

    # Projects

    async def CreateProject(  # noqa: N802
        self, request: access_service_pb2.CreateProjectRequest, context: Context
    ) -> access_service_pb2.Project:
        owner = owner_from(request.owner) if request.HasField("owner") else None
        created = await self._projects.create(caller(), request.display_name, owner)
        return project_to_message(created)

    async def GetProject(  # noqa: N802
        self, request: access_service_pb2.GetProjectRequest, context: Context
    ) -> access_service_pb2.Project:
        return project_to_message(await self._projects.get(caller(), request.project_id))

    async def ListProjects(  # noqa: N802
        self, request: access_service_pb2.ListProjectsRequest, context: Context
    ) -> access_service_pb2.ListProjectsResponse:
        query = ("projects", caller().owner, request.organization_id)
        after = self._after(query, request.page_token, BY_TIME)
        size = page_size(request.page_size)
        found = await self._projects.page(
            caller(), request.organization_id or None, after, size + 1
        )
        projects, token = await page(
            found,
            size,
            project_to_message,
            lambda last: self._page_tokens.seal(query, [last.create_time, last.project_id]),
        )
        return access_service_pb2.ListProjectsResponse(projects=projects, next_page_token=token)

    async def UpdateProject(  # noqa: N802
        self, request: access_service_pb2.UpdateProjectRequest, context: Context
    ) -> access_service_pb2.Project:
        changed = await self._projects.rename(caller(), request.project_id, request.display_name)
        return project_to_message(changed)

    async def TransferProject(  # noqa: N802
        self, request: access_service_pb2.TransferProjectRequest, context: Context
    ) -> access_service_pb2.Project:
        owner = owner_from(request.owner)
        return project_to_message(
            await self._projects.transfer(caller(), request.project_id, owner)
        )

    async def DeleteProject(  # noqa: N802
        self, request: access_service_pb2.DeleteProjectRequest, context: Context
    ) -> empty_pb2.Empty:
        await self._projects.delete(caller(), request.project_id)
        return empty_pb2.Empty()

    async def TransferMedia(  # noqa: N802
        self, request: access_service_pb2.TransferMediaRequest, context: Context
    ) -> media_pb2.Media:
        owner = owner_from(request.owner) if request.HasField("owner") else None
        project_id = request.project_id if request.HasField("project_id") else None
        media = await self._media.transfer(caller(), request.media_id.lower(), owner, project_id)
        return media_to_message(media, self._public_urls)

    # Groups

    async def CreateGroup(  # noqa: N802
        self, request: access_service_pb2.CreateGroupRequest, context: Context
    ) -> access_service_pb2.Group:
        created = await self._groups.create(caller(), request.organization_id, request.display_name)
        return group_to_message(created)

    async def ListGroups(  # noqa: N802
        self, request: access_service_pb2.ListGroupsRequest, context: Context
    ) -> access_service_pb2.ListGroupsResponse:
        query = ("groups", caller().owner, request.organization_id)
        after = self._after(query, request.page_token, BY_TIME)
        size = page_size(request.page_size)
        found = await self._groups.page(caller(), request.organization_id, after, size + 1)
        groups, token = await page(
            found,
            size,
            group_to_message,
            lambda last: self._page_tokens.seal(query, [last.create_time, last.group_id]),
        )
        return access_service_pb2.ListGroupsResponse(groups=groups, next_page_token=token)

    async def DeleteGroup(  # noqa: N802
        self, request: access_service_pb2.DeleteGroupRequest, context: Context
    ) -> empty_pb2.Empty:
        await self._groups.delete(caller(), request.group_id)
        return empty_pb2.Empty()

    async def AddGroupMember(  # noqa: N802
        self, request: access_service_pb2.AddGroupMemberRequest, context: Context
    ) -> access_service_pb2.Group:
        return group_to_message(await self._groups.add(caller(), request.group_id, request.member))

    async def RemoveGroupMember(  # noqa: N802
        self, request: access_service_pb2.RemoveGroupMemberRequest, context: Context
    ) -> access_service_pb2.Group:
        return group_to_message(
            await self._groups.remove(caller(), request.group_id, request.member)
        )

    async def ListGroupMembers(  # noqa: N802
        self, request: access_service_pb2.ListGroupMembersRequest, context: Context
    ) -> access_service_pb2.ListGroupMembersResponse:
        query = ("group members", caller().owner, request.group_id)
        after = self._after(query, request.page_token, BY_NAME)
        size = page_size(request.page_size)
        found = await self._groups.members(
            caller(), request.group_id, after[0] if after else "", size + 1
        )
        members, token = await page(
            found,
            size,
            member_to_message,
            lambda last: self._page_tokens.seal(query, [last.member]),
        )
        return access_service_pb2.ListGroupMembersResponse(members=members, next_page_token=token)

    # Grants

    async def SetGrant(  # noqa: N802
        self, request: access_service_pb2.SetGrantRequest, context: Context
    ) -> access_service_pb2.Grant:
        granted = await self._grants.put(
            caller(),
            request.resource,
            request.grantee,
            Role(request.role),
            time_from(request, "expire_time"),
        )
        return grant_to_message(granted)

    async def DeleteGrant(  # noqa: N802
        self, request: access_service_pb2.DeleteGrantRequest, context: Context
    ) -> empty_pb2.Empty:
        await self._grants.delete(caller(), request.resource, request.grantee)
        return empty_pb2.Empty()

    async def ListGrants(  # noqa: N802
        self, request: access_service_pb2.ListGrantsRequest, context: Context
    ) -> access_service_pb2.ListGrantsResponse:
        query = ("grants", caller().owner, request.resource)
        after = self._after(query, request.page_token, BY_NAME)
        size = page_size(request.page_size)
        found = await self._grants.page(
            caller(), request.resource, after[0] if after else "", size + 1
        )
        grants, token = await page(
            found,
            size,
            grant_to_message,
            lambda last: self._page_tokens.seal(query, [last.grantee]),
        )
        return access_service_pb2.ListGrantsResponse(grants=grants, next_page_token=token)

    async def GetAccess(  # noqa: N802
        self, request: access_service_pb2.GetAccessRequest, context: Context
    ) -> access_service_pb2.Access:
        role = await self._grants.role(caller(), request.resource)
        return access_service_pb2.Access(resource=request.resource, role=role_to_message(role))

    def _after(self, query: Sequence[object], token: str, types: Sequence[type]) -> Any:
        """The sort key that a page token holds; None on the first page."""
        return tuple(self._page_tokens.open(query, token, types)) if token else None


def organization_to_message(organization: Organization) -> access_service_pb2.Organization:
    return access_service_pb2.Organization(
        organization_id=organization.organization_id,
        display_name=organization.display_name,
        issuer=organization.issuer,
        role=role_to_message(organization.role),
        create_time=timestamp(organization.create_time),
        update_time=timestamp(organization.update_time),
    )


def project_to_message(project: Project) -> access_service_pb2.Project:
    return access_service_pb2.Project(
        project_id=project.project_id,
        display_name=project.display_name,
        owner=owner_to_message(project.owner),
        role=role_to_message(project.role),
        create_time=timestamp(project.create_time),
        update_time=timestamp(project.update_time),
    )


def group_to_message(group: Group) -> access_service_pb2.Group:
    return access_service_pb2.Group(
        group_id=group.group_id,
        organization_id=group.organization_id,
        display_name=group.display_name,
        create_time=timestamp(group.create_time),
        update_time=timestamp(group.update_time),
    )


def member_to_message(member: GroupMember) -> access_service_pb2.GroupMember:
    return access_service_pb2.GroupMember(
        member=member.member, create_time=timestamp(member.create_time)
    )


def grant_to_message(grant: Grant) -> access_service_pb2.Grant:
    return access_service_pb2.Grant(
        resource=grant.resource,
        grantee=grant.grantee,
        role=role_to_message(grant.role),
        expire_time=optional_timestamp(grant.expire_time),
        create_time=optional_timestamp(grant.create_time),
        created_by=grant.created_by,
    )
