"""Errors of collections."""

from media_service.errors import FailedPrecondition, NotFound, Reason


def collection_not_found(collection_id: str) -> NotFound:
    return NotFound(
        Reason.COLLECTION_NOT_FOUND,
        "The collection does not exist, or the caller may not see it.",
        collection_id=collection_id,
    )


def too_deep(most: int) -> FailedPrecondition:
    return FailedPrecondition(
        Reason.COLLECTION_TOO_DEEP,
        f"At most {most} collections can be nested.",
        max_depth=most,
    )


def cycle(collection_id: str) -> FailedPrecondition:
    return FailedPrecondition(
        Reason.COLLECTION_CYCLE,
        "A collection cannot be in itself, or in one that it contains.",
        collection_id=collection_id,
    )


def wrong_kind(collection_id: str, *, smart: bool) -> FailedPrecondition:
    why = (
        "The collection is smart: its filter selects the media."
        if smart
        else "The collection is not smart: media are added to it, and it has no filter."
    )
    return FailedPrecondition(Reason.COLLECTION_KIND, why, collection_id=collection_id)


def full(most: int) -> FailedPrecondition:
    return FailedPrecondition(
        Reason.COLLECTION_FULL, f"A collection has at most {most} media.", max_media=most
    )


def nested(collection_id: str) -> FailedPrecondition:
    return FailedPrecondition(
        Reason.COLLECTION_NESTED,
        "The collection is in another one, and has its owner and project. Move it out first.",
        collection_id=collection_id,
    )


def not_empty(collection_id: str) -> FailedPrecondition:
    return FailedPrecondition(
        Reason.COLLECTION_NOT_EMPTY,
        "The collection contains others. Delete or move them first.",
        collection_id=collection_id,
    )
