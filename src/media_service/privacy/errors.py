"""Errors of erasures."""

from media_service.errors import NotFound, Reason


def erasure_not_found(erasure_id: str) -> NotFound:
    return NotFound(
        Reason.ERASURE_NOT_FOUND,
        "There is no such erasure.",
        erasure_id=erasure_id,
    )
