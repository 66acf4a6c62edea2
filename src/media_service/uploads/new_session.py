"""Moves an upload to a new session of the store when parts of an earlier writer may still arrive in
the old one."""

from contextlib import suppress
from dataclasses import replace

from media_service.db.database import Database
from media_service.errors import MediaError, Reason, Unavailable
from media_service.failpoints import failpoint
from media_service.storage.blob_store import BlobStore
from media_service.uploads import queries
from media_service.uploads.errors import not_active, superseded
from media_service.uploads.model import Upload, UploadState


async def give_new_session(database: Database, store: BlobStore, upload: Upload) -> Upload:
    """Gives `upload` a new store session, in which no part of an earlier writer can arrive.

    `upload` is the state in the epoch of the calling writer. If the process dies before the end,
    the upload keeps its old session and remains not settled. The new session may then be orphaned.
    Raises Aborted (SUPERSEDED), FailedPrecondition (UPLOAD_NOT_ACTIVE) and Unavailable.
    """
    key, driver, before = store.key(upload.blob_id), store.driver, upload.store_session
    fresh = await driver.supersede(key, before, upload.next_part)
    failpoint("upload.succeed.before")
    async with database.connection() as db:
        recorded = await queries.set_session(db, upload, fresh)
        found = recorded or await queries.get(db, upload.upload_id)
    failpoint("upload.succeed.after")
    # A session that is not aborted here is found by reconciliation after the upload ends.
    with suppress(MediaError):
        unused = before if recorded else fresh
        await driver.abort_unused(key, unused, found.store_session if found else "")
    if found is None or found.state is not UploadState.ACTIVE:
        raise not_active(found or upload)
    # If several callers put parts at the same time, the first one creates the session for all.
    if recorded or (upload.parts_since is not None and found.parts_since == upload.parts_since):
        return replace(upload, store_session=found.store_session, settled=found.settled)
    raise superseded(upload.upload_id)


async def session_lost(database: Database, upload_id: str, session: str) -> MediaError:
    """The error for a writer whose `session` no longer exists in the store."""
    async with database.connection() as db:
        found = await queries.get(db, upload_id)
    if found is not None and found.state is not UploadState.ACTIVE:
        return not_active(found)
    if found is not None and found.store_session != session:
        return superseded(upload_id)
    return Unavailable(
        Reason.STORAGE_UNAVAILABLE, "The object store does not find this upload. Try again."
    )
