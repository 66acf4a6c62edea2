"""The people in uploads."""

from media_service.db.events import UploadChanged
from media_service.db.new_job import NewJob
from media_service.db.personal_data import (
    OWNED,
    OWNER_COLUMNS,
    PRINCIPAL,
    TO_PSEUDONYM,
    Fate,
    Params,
    PersonalRows,
    Step,
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


async def abort(tx: Transaction, params: Params) -> int:
    """Ends unfinished uploads. Jobs remove their bytes."""
    rows = await tx.execute(
        f"select upload_id::text as upload_id, epoch from uploads r where {ACTIVE}"
        " limit %(limit)s for update".encode(),
        params,
    )
    found = await rows.fetchall()
    for row in found:
        await queries.end(tx, row["upload_id"], UploadState.ACTIVE, UploadState.ABORTED)
        await tx.enqueue(NewJob(JobKind.DISCARD, row["upload_id"]))
        tx.emit(UploadChanged(row["upload_id"], UploadState.ABORTED, row["epoch"]))
    return len(found)


ROWS = (
    PersonalRows(
        "uploads",
        OWNER_COLUMNS,
        ACTIVE,
        KEY,
        Step.CONTENT,
        by_owner=True,
        erase=abort,
        batch=100,
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
        by_owner=True,
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
