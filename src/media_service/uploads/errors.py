"""The errors of calls that an upload refuses."""

from media_service.errors import Aborted, FailedPrecondition, NotFound, Reason, Unavailable
from media_service.uploads.model import Upload


def upload_not_found(upload_id: str) -> NotFound:
    return NotFound(
        Reason.UPLOAD_NOT_FOUND,
        "The upload does not exist, or the caller may not see it.",
        upload_id=upload_id,
    )


def blob_removed() -> Unavailable:
    """The error for an upload whose row was written too late: cleanup already removed its bytes as
    orphaned."""
    return Unavailable(
        Reason.STORAGE_UNAVAILABLE, "Recording the upload took too long. Upload the file again."
    )


def ended(upload_id: str, state: str) -> FailedPrecondition:
    return FailedPrecondition(
        Reason.UPLOAD_NOT_ACTIVE,
        f"The upload accepts no more bytes; it is {state}.",
        upload_id=upload_id,
        state=state,
        cause="",
    )


def not_active(upload: Upload) -> FailedPrecondition:
    why = f": {upload.fault.message}" if upload.fault else "."
    return FailedPrecondition(
        Reason.UPLOAD_NOT_ACTIVE,
        f"The upload accepts no more bytes; it is {upload.state}{why}",
        upload_id=upload.upload_id,
        state=upload.state,
        cause=upload.fault.reason if upload.fault else "",
    )


def superseded(upload_id: str) -> Aborted:
    return Aborted(
        Reason.SUPERSEDED,
        "Another stream writes to this upload now. To continue, call GetUpload and send the bytes"
        " from committed_size_bytes on.",
        upload_id=upload_id,
    )
