"""Records the durable bytes of one upload for one writer in one epoch."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from media_service.db.database import Database
from media_service.db.events import UploadChanged
from media_service.db.transaction import Connection
from media_service.errors import (
    MediaError,
)
from media_service.failpoints import failpoint
from media_service.idempotency import queries as keys
from media_service.uploads import queries
from media_service.uploads.errors import blob_removed, not_active, superseded
from media_service.uploads.model import NewUpload, Part, Upload, UploadSpec, UploadState

Created = Callable[[str], Awaitable[None]]


class Checkpoints:
    """Records checkpoints. The first checkpoint of a `NewUpload` creates its session and then calls
    `on_created` with its id.

    If `settles`, creating the session also settles the upload's idempotency key. Otherwise, the key
    is settled when the upload finishes.
    """

    def __init__(
        self,
        database: Database,
        upload: NewUpload | Upload,
        *,
        expiry: timedelta,
        settles: bool = True,
        on_created: Created | None = None,
    ) -> None:
        self.upload = upload
        self.exists = isinstance(upload, Upload)
        self.epoch = upload.epoch if isinstance(upload, Upload) else 1
        self.store_session = upload.store_session if isinstance(upload, Upload) else ""
        self._database = database
        self._expiry = expiry
        self._settles = settles
        self._on_created = on_created

    @property
    def spec(self) -> UploadSpec:
        return self.upload.spec

    async def count(self, committed_size: int, parts: list[Part], *, last: bool = False) -> None:
        """Counts durable bytes. `last` means that no bytes follow.

        Raises Aborted (SUPERSEDED, IDEMPOTENCY_IN_PROGRESS) and FailedPrecondition
        (UPLOAD_NOT_ACTIVE) if this writer may not write.
        """
        upload_id = self.upload.upload_id
        creates = not self.exists
        self.exists = True  # if the database fails during the commit, the row may exist
        failpoint("upload.count.before")
        # Later checkpoints are a single statement, which needs no explicit transaction.
        opened = self._database.transaction() if creates else self._database.connection()
        async with opened as db:
            if creates:
                await self._create(db)
            counted = await queries.checkpoint(
                db, upload_id, self.epoch, committed_size, parts, self._expiry, settled=last
            )
            upload = None if counted else await queries.get(db, upload_id)
            if counted:
                db.emit(UploadChanged(upload_id, UploadState.ACTIVE, self.epoch))
        failpoint("upload.count.after")
        if upload is not None:
            if upload.state is UploadState.ACTIVE:
                raise superseded(upload_id)
            raise not_active(upload)
        if creates and self._on_created:
            await self._on_created(upload_id)

    async def _create(self, db: Connection) -> None:
        assert isinstance(self.upload, NewUpload)  # noqa: S101 - an Upload exists
        try:
            if self._settles and self.upload.claim:
                await keys.settle(db, [self.upload.claim])
            if not await queries.insert(
                db, self.upload, self.store_session, self.epoch, self._expiry
            ):
                raise blob_removed()
        except MediaError:
            self.exists = False
            raise
