"""Errors that the functions of the database raise to refuse a change."""

import json

import psycopg

from media_service.errors import FailedPrecondition, MediaError, Reason

QUOTA_EXCEEDED = "MQ001"


def refusal_of(error: psycopg.Error) -> MediaError | None:
    """The error for callers, or None if the database did not refuse the change."""
    if error.diag.sqlstate != QUOTA_EXCEEDED:
        return None
    return quota_exceeded(**json.loads(error.diag.message_detail or ""))


def quota_exceeded(
    account: str, measure: str, limit: int, used: int, wanted: int
) -> FailedPrecondition:
    """The error for a change that the quota of an account does not allow."""
    return FailedPrecondition(
        Reason.QUOTA_EXCEEDED,
        f"The quota of {account} is exceeded. Of {measure}, {used} of {limit} are used, and"
        f" {wanted} more were requested. Purge media, abort uploads, or ask for a higher quota.",
        account=account,
        measure=measure,
        limit=limit,
        used=used,
        wanted=wanted,
    )
