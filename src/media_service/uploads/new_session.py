"""Gives an upload a new session of the store if parts of an earlier writer may still arrive in the
old one."""

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
    """Gives `upload`, as it is in its writer's epoch, a session of the store into which nothing
    comes late. Whoever dies on the way leaves it as it was, not settled, and perhaps a session that
    no row names.

    Raises Aborted (SUPERSEDED), FailedPrecondition (UPLOAD_NOT_ACTIVE) and Unavailable.
    """
    key, driver, before = store.key(upload.blob_id), store.driver, upload.store_session
    fresh = await driver.supersede(key, before, upload.next_part)
    failpoint("upload.succeed.before")
    async with database.connection() as db:
        recorded = await queries.set_session(db, upload, fresh)
        found = recorded or await queries.get(db, upload.upload_id)
    failpoint("upload.succeed.after")
    # What is not released here is found when nobody uses the upload any more.
    with suppress(MediaError):
        unused = before if recorded else fresh
        await driver.abort_unused(key, unused, found.store_session if found else "")
    if found is None or found.state is not UploadState.ACTIVE:
        raise not_active(found or upload)
    # Of callers who put parts side by side, the first one did it for all.
    if recorded or (upload.parts_since is not None and found.parts_since == upload.parts_since):
        return replace(upload, store_session=found.store_session, settled=found.settled)
    raise superseded(upload.upload_id)


async def session_lost(database: Database, upload_id: str, session: str) -> MediaError:
    """What to tell a writer whose `session` the store does not know any more."""
    async with database.connection() as db:
        found = await queries.get(db, upload_id)
    if found is not None and found.state is not UploadState.ACTIVE:
        return not_active(found)
    if found is not None and found.store_session != session:
        return superseded(upload_id)
    return Unavailable(
        Reason.STORAGE_UNAVAILABLE, "The store does not know this upload now; try again."
    )
