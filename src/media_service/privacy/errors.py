"""Errors of erasures."""

from media_service.errors import NotFound, PermissionDenied, Reason


def erasure_not_found(erasure_id: str) -> NotFound:
    return NotFound(
        Reason.ERASURE_NOT_FOUND,
        "There is no such erasure.",
        erasure_id=erasure_id,
    )


def claim_not_allowed(org_id: str) -> PermissionDenied:
    return PermissionDenied(
        Reason.ORGANIZATION_CLAIM_NOT_ALLOWED,
        "The claim `org` narrows this token to one organization, but an export has rows of all."
        " Use a token without the claim.",
        organization_id=org_id,
    )
