"""The people in uploads."""

from collections.abc import Sequence

from media_service.db.new_job import NewJob
from media_service.db.notifications import UploadChanged
from media_service.db.personal_data import (
    CHARGED_BATCH,
    OWNED,
    OWNER_COLUMNS,
    PRINCIPAL,
    TO_PSEUDONYM,
    Fate,
    PersonalRows,
    Row,
    Step,
    organizations_of,
)
from media_service.db.transaction import Transaction
from media_service.jobs.model import JobKind
from media_service.uploads import queries
from media_service.uploads.model import UploadState

ACTIVE = f"{OWNED} and r.state = 'ACTIVE'"
OWNED_ANYWHERE = "(r.owner_type, r.owner_id) = (%(type)s, %(id)s)"
COMPLETER = f"{PRINCIPAL.format(column='r.completer')} = %(name)s"
# How the store knows the bytes, and who writes and completes them.
SECRET = ("store_session", "verifier", "epoch", "completer")
KEY = ("create_time", "upload_id")


async def abort(tx: Transaction, found: Sequence[Row]) -> int:
    """Ends unfinished uploads. Jobs remove their bytes."""
    for row in found:
        upload_id = str(row["upload_id"])
        await queries.end(tx, upload_id, UploadState.ACTIVE, UploadState.ABORTED)
        await tx.enqueue(NewJob(JobKind.DISCARD, upload_id))
        tx.notify(UploadChanged(upload_id, UploadState.ABORTED, row["epoch"]))
    return len(found)


ROWS = (
    PersonalRows(
        "uploads",
        OWNER_COLUMNS,
        ACTIVE,
        KEY,
        Step.CONTENT,
        parts=organizations_of,
        erase=abort,
        batch=CHARGED_BATCH,
        secret=SECRET,
    ),
    # The row stays until the bytes are removed. One in VERIFYING ends by itself.
    PersonalRows(
        "uploads",
        OWNER_COLUMNS,
        f"{OWNED} and r.state <> 'ACTIVE'",
        KEY,
        Step.CONTENT,
        Fate.PSEUDONYMIZED,
        parts=organizations_of,
        changes=f"{TO_PSEUDONYM}, filename = '', attributes = '{{}}'",
        ready="r.state <> 'VERIFYING'",
        secret=SECRET,
    ),
    # Of others. It ends by itself, and forgets the completer: an erasure waits for that.
    PersonalRows(
        "uploads",
        ("completer",),
        f"r.completer is not null and not ({OWNED_ANYWHERE}) and {COMPLETER}",
        KEY,
        Step.CONTENT,
        Fate.PSEUDONYMIZED,
        secret=SECRET,
    ),
)
