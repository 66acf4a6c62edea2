"""Errors of organizations, projects, groups and grants."""

from media_service.access.role import Role
from media_service.errors import FailedPrecondition, NotFound, PermissionDenied, Reason


def organization_not_found(organization_id: str) -> NotFound:
    return NotFound(
        Reason.ORGANIZATION_NOT_FOUND,
        "The organization does not exist, or the caller has no role on it.",
        organization_id=organization_id,
    )


def organization_not_empty(organization_id: str) -> FailedPrecondition:
    return FailedPrecondition(
        Reason.ORGANIZATION_NOT_EMPTY,
        "The organization has projects, media, unfinished uploads or service accounts. Delete them"
        " first, and purge deleted media.",
        organization_id=organization_id,
    )


def project_not_found(project_id: str) -> NotFound:
    return NotFound(
        Reason.PROJECT_NOT_FOUND,
        "The project does not exist, or the caller may not see it.",
        project_id=project_id,
    )


def project_not_empty(project_id: str) -> FailedPrecondition:
    return FailedPrecondition(
        Reason.PROJECT_NOT_EMPTY,
        "The project has media or uploads. Purge them, or give them to another project.",
        project_id=project_id,
    )


def group_not_found(group_id: str) -> NotFound:
    return NotFound(
        Reason.GROUP_NOT_FOUND,
        "The group does not exist, or the caller may not see it.",
        group_id=group_id,
    )


def resource_not_found(resource: str) -> NotFound:
    return NotFound(
        Reason.RESOURCE_NOT_FOUND,
        "The resource does not exist, or the caller may not see it.",
        resource=resource,
    )


def owner_not_allowed() -> PermissionDenied:
    return PermissionDenied(
        Reason.OWNER_NOT_ALLOWED,
        "The caller may not create resources for this owner. Leave owner unset, or name an owner"
        " for whom the caller has the role EDITOR, in the organization of the project.",
    )


def grantee_not_allowed(why: str, grantee: str) -> FailedPrecondition:
    return FailedPrecondition(Reason.GRANTEE_NOT_ALLOWED, f"The grantee {why}.", grantee=grantee)


def outlasts(role: Role) -> PermissionDenied:
    return PermissionDenied(
        Reason.ROLE_REQUIRED,
        f"This requires the role {role.name} or a higher one for as long as the result lasts, and"
        " the caller's role ends before. Set expire_time to the end of that role or earlier, or ask"
        " a manager of the resource for a role without an end.",
        role=role.name,
    )
