"""Errors that the functions of the database raise to refuse a change."""

import json
from collections.abc import Callable, Mapping

import psycopg

from media_service.clock import next_month
from media_service.errors import FailedPrecondition, MediaError, Reason

QUOTA_EXCEEDED = "MQ001"
FILE_BLOCKED = "MB001"
SHARE_LINK_FULL = "MS001"


def refusal_of(error: psycopg.Error) -> MediaError | None:
    """The error for callers, or None if the database did not refuse the change."""
    refusal = REFUSALS.get(error.diag.sqlstate or "")
    return refusal(**json.loads(error.diag.message_detail or "")) if refusal else None


def file_blocked(sha256: str) -> FailedPrecondition:
    """The error for a file on a blocklist."""
    return FailedPrecondition(
        Reason.FILE_BLOCKED,
        "This file is blocked, or looks like one that is. Nobody may upload it.",
        sha256=sha256,
    )


def share_link_full(max_files: int) -> FailedPrecondition:
    """The error for a guest's upload beyond the limit of the share link."""
    return FailedPrecondition(
        Reason.SHARE_LINK_FULL,
        f"By this share link, {max_files} files were uploaded, which is its limit. Ask its sender"
        " for a new one.",
        max_files=max_files,
    )


def quota_exceeded(
    account: str, measure: str, limit: int, used: int, wanted: int
) -> FailedPrecondition:
    """The error for a change that the quota of an account does not allow."""
    reset = ""
    remedy = "Abort uploads, purge media"
    if measure == "RENDITION_BYTES":
        remedy = "Delete renditions, purge media"
    elif measure == "PROCESSING_SECONDS":
        reset = next_month().strftime("%Y-%m-%dT%H:%M:%SZ")
        remedy = f"Wait for the next month, which begins at {reset}"
    return FailedPrecondition(
        Reason.QUOTA_EXCEEDED,
        f"The quota of {account} is exceeded. Of {measure}, {used} of {limit} are used, and"
        f" {wanted} more were requested. {remedy}, or ask for a higher quota.",
        account=account,
        measure=measure,
        limit=limit,
        used=used,
        wanted=wanted,
        reset_time=reset,
    )


REFUSALS: Mapping[str, Callable[..., MediaError]] = {
    QUOTA_EXCEEDED: quota_exceeded,
    FILE_BLOCKED: file_blocked,
    SHARE_LINK_FULL: share_link_full,
}
