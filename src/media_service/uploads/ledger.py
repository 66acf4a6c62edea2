"""Where the durable bytes of one session are counted, by one writer, in one epoch."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from media_service.access.owner import Owner
from media_service.access.permission import Permission
from media_service.access.policy import authorize
from media_service.access.principal import Principal
from media_service.db.database import Database
from media_service.db.events import UploadChanged
from media_service.db.transaction import Connection
from media_service.errors import Aborted, AlreadyExists, FailedPrecondition, NotFound, Reason
from media_service.failpoints import failpoint
from media_service.uploads import queries
from media_service.uploads.model import Part, Upload, UploadSpec, UploadState

Created = Callable[[str], Awaitable[None]]


def upload_not_found(upload_id: str) -> NotFound:
    return NotFound(
        Reason.UPLOAD_NOT_FOUND,
        "There is no such upload, or it is not yours.",
        upload_id=upload_id,
    )


async def load(
    db: Connection, principal: Principal, permission: Permission, upload_id: str
) -> Upload:
    """An upload on which the caller has the permission. Raises NotFound (UPLOAD_NOT_FOUND)."""
    upload = await queries.get(db, upload_id)
    return authorize(principal, permission, upload, upload_not_found(upload_id))


def upload_exists(upload_id: str) -> AlreadyExists:
    return AlreadyExists(
        Reason.UPLOAD_EXISTS,
        "The upload id or request id is taken. To go on with your own upload, ask for it first.",
        upload_id=upload_id,
    )


def not_active(upload: Upload) -> FailedPrecondition:
    why = f": {upload.fault.message}" if upload.fault else "."
    return FailedPrecondition(
        Reason.UPLOAD_NOT_ACTIVE,
        f"The upload takes no more bytes, it is {upload.state}{why}",
        state=upload.state,
        cause=upload.fault.reason if upload.fault else "",
    )


def superseded(upload_id: str) -> Aborted:
    return Aborted(
        Reason.SUPERSEDED,
        "Another stream writes to this upload now. Ask for it and go on at its committed_size.",
        upload_id=upload_id,
    )


class Ledger:
    """If the session does not exist, it is created when bytes are first counted, and `on_created`
    called with its id."""

    def __init__(
        self,
        database: Database,
        spec: UploadSpec,
        owner: Owner,
        *,
        blob_id: str,
        store_session: str,
        epoch: int,
        expiry: timedelta,
        on_created: Created | None = None,
    ) -> None:
        self.spec = spec
        self.owner = owner
        self.blob_id = blob_id
        self.store_session = store_session
        self.epoch = epoch
        self.exists = False
        self._database = database
        self._expiry = expiry
        self._on_created = on_created

    async def count(self, committed_size: int, parts: list[Part], *, last: bool = False) -> None:
        """Counts bytes that are durable; `last`: nothing follows. Raises if this writer may not:
        AlreadyExists, Aborted (SUPERSEDED), FailedPrecondition (UPLOAD_NOT_ACTIVE)."""
        upload_id = self.spec.upload_id
        created = not self.exists
        self.exists = True  # or may, if the database goes away while it answers
        failpoint("upload.count.before")
        # A later count is one statement, which needs no transaction around it.
        opened = self._database.transaction() if created else self._database.connection()
        async with opened as db:
            if created and not await queries.insert(
                db,
                self.spec,
                self.owner,
                blob_id=self.blob_id,
                store_session=self.store_session,
                epoch=self.epoch,
                expiry=self._expiry,
            ):
                self.exists = False
                raise upload_exists(upload_id)
            counted = await queries.checkpoint(
                db,
                upload_id,
                self.epoch,
                committed_size,
                parts,
                self._expiry,
                settled=last,
            )
            upload = None if counted else await queries.get(db, upload_id)
            if counted:
                db.emit(UploadChanged(upload_id, UploadState.ACTIVE, self.epoch))
        failpoint("upload.count.after")
        if upload is not None:
            if upload.state is UploadState.ACTIVE:
                raise superseded(upload_id)
            raise not_active(upload)
        if created and self._on_created:
            await self._on_created(upload_id)
