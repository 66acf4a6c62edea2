"""Errors of webhooks."""

from media_service.errors import FailedPrecondition, InvalidArgument, NotFound, Reason


def webhook_not_found(webhook_id: str) -> NotFound:
    return NotFound(
        Reason.WEBHOOK_NOT_FOUND,
        "The webhook does not exist, or the caller does not manage it.",
        webhook_id=webhook_id,
    )


def delivery_not_found(event_id: str) -> NotFound:
    return NotFound(
        Reason.WEBHOOK_DELIVERY_NOT_FOUND,
        "The log of the webhook does not have the event, or the event is no longer kept.",
        event_id=event_id,
    )


def webhook_disabled(webhook_id: str, why: str) -> FailedPrecondition:
    return FailedPrecondition(
        Reason.WEBHOOK_DISABLED,
        f"The webhook gets no events: {why}. Enable it first.",
        webhook_id=webhook_id,
    )


def too_many(limit: int) -> FailedPrecondition:
    return FailedPrecondition(
        Reason.CREDENTIAL_LIMIT_EXCEEDED,
        f"The caller or the resource has {limit} webhooks. Delete some.",
        limit=limit,
    )


def invalid(field: str, why: str) -> InvalidArgument:
    return InvalidArgument(Reason.INVALID_FIELD, f"The {field} {why}.", ((field, why),))
