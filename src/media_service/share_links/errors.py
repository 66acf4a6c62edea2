"""Errors of share links."""

from media_service.errors import (
    FailedPrecondition,
    InvalidArgument,
    MediaError,
    NotFound,
    PermissionDenied,
    Reason,
    ResourceExhausted,
    Unauthenticated,
)


def share_link_not_found(share_link_id: str) -> NotFound:
    return NotFound(
        Reason.SHARE_LINK_NOT_FOUND,
        "The share link does not exist, or the caller does not manage it.",
        share_link_id=share_link_id,
    )


def nothing_to_open() -> NotFound:
    """The same error for a wrong secret and for a link that was taken back."""
    return NotFound(
        Reason.SHARE_LINK_NOT_FOUND,
        "There is no such share link, or it was revoked. Ask its sender for a new one.",
        share_link_id="",
    )


def session_ended() -> Unauthenticated:
    return Unauthenticated(
        Reason.TOKEN_INVALID,
        "The session of the share link is not valid or has expired. Open the link again.",
    )


def expired() -> FailedPrecondition:
    return FailedPrecondition(
        Reason.SHARE_LINK_EXPIRED, "The share link has expired. Ask its sender for a new one."
    )


def used_up() -> FailedPrecondition:
    return FailedPrecondition(
        Reason.SHARE_LINK_USED_UP,
        "The share link was opened as many times as it may be. Ask its sender for a new one.",
    )


def password_required() -> FailedPrecondition:
    return FailedPrecondition(
        Reason.SHARE_LINK_PASSWORD_REQUIRED, "The share link opens only with a password."
    )


def password_wrong() -> PermissionDenied:
    return PermissionDenied(
        Reason.SHARE_LINK_PASSWORD_WRONG, "The password of the share link is wrong."
    )


def too_many_attempts(quota: int, window_seconds: int, retry_seconds: float) -> ResourceExhausted:
    error = ResourceExhausted(
        Reason.RATE_LIMITED,
        "There were too many wrong passwords for this share link. Try again later.",
        limit="share_link",
        quota=quota,
        window_seconds=window_seconds,
        remaining=0,
    )
    error.retry_seconds = max(1.0, retry_seconds)
    return error


def too_many_links(limit: int) -> FailedPrecondition:
    return FailedPrecondition(
        Reason.CREDENTIAL_LIMIT_EXCEEDED,
        f"The creator has {limit} share links that have not ended, which is the limit. Revoke some,"
        " or give them an expiry.",
        limit=limit,
    )


def busy(most: int) -> ResourceExhausted:
    return ResourceExhausted(
        Reason.SERVER_BUSY,
        "This server checks too many passwords of share links. Try again in a moment.",
        max_streams=most,
    )


def as_visitors_see(error: MediaError) -> MediaError:
    """An error of the session of a share link. Visitors do not learn whose quota is exceeded, and
    how much of it is used."""
    if error.reason is not Reason.QUOTA_EXCEEDED:
        return error
    return FailedPrecondition(
        Reason.QUOTA_EXCEEDED,
        "There is no room for this file. Tell the sender of the link.",
        account="",
        measure=error.metadata["measure"],
        limit="",
        used="",
        wanted=error.metadata["wanted"],
        reset_time="",
    )


def invalid(field: str, why: str) -> InvalidArgument:
    return InvalidArgument(Reason.INVALID_FIELD, f"The {field} {why}.", ((field, why),))
