"""Errors of archives."""

from media_service.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound, Reason


def archive_not_found(archive_id: str) -> NotFound:
    return NotFound(
        Reason.ARCHIVE_NOT_FOUND,
        "The archive does not exist, has expired, or was created by somebody else. Create a new"
        " one.",
        archive_id=archive_id,
    )


def changed() -> Aborted:
    return Aborted(
        Reason.ARCHIVE_CHANGED,
        "A file of the archive has changed, was deleted, or may no longer be read. Create a new"
        " archive.",
    )


def nothing_selected() -> InvalidArgument:
    why = "must name media, unless project_id, collection_id or filter select some"
    return InvalidArgument(
        Reason.INVALID_FIELD, f"The field media_ids {why}.", (("media_ids", why),)
    )


def empty() -> FailedPrecondition:
    return FailedPrecondition(
        Reason.ARCHIVE_EMPTY, "None of the selected media has a file that can be read now."
    )


def too_many(most: int) -> InvalidArgument:
    why = f"select more than {most} media, the most of one archive"
    return InvalidArgument(
        Reason.ARCHIVE_TOO_LARGE, f"The project and the filter {why}.", (("filter", why),)
    )


def collection_too_large(why: str) -> InvalidArgument:
    return InvalidArgument(
        Reason.ARCHIVE_TOO_LARGE, f"The collection {why}.", (("collection_id", why),)
    )
