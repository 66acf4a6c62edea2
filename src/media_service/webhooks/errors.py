"""Errors of webhooks."""

from media_service.errors import FailedPrecondition, InvalidArgument, NotFound, Reason


def webhook_not_found(webhook_id: str) -> NotFound:
    return NotFound(
        Reason.WEBHOOK_NOT_FOUND,
        "The webhook does not exist, or the caller does not manage it.",
        webhook_id=webhook_id,
    )


def too_many(limit: int) -> FailedPrecondition:
    return FailedPrecondition(
        Reason.CREDENTIAL_LIMIT_EXCEEDED,
        f"The caller has {limit} webhooks. Delete some.",
        limit=limit,
    )


def invalid(field: str, why: str) -> InvalidArgument:
    return InvalidArgument(Reason.INVALID_FIELD, f"The {field} {why}.", ((field, why),))
