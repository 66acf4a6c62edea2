"""Records the durable bytes of uploads. Checkpoints of many uploads share a commit."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from media_service.db.batcher import Batcher
from media_service.db.database import Database
from media_service.db.notifications import UploadChanged
from media_service.db.transaction import Connection
from media_service.errors import FailedPrecondition, MediaError
from media_service.failpoints import failpoint
from media_service.idempotency import queries as keys
from media_service.uploads import queries
from media_service.uploads.errors import blob_removed, not_active, superseded, upload_not_found
from media_service.uploads.model import (
    Checkpoint,
    NewUpload,
    Part,
    Upload,
    UploadSpec,
    UploadState,
)

Created = Callable[[str], Awaitable[None]]


class CheckpointBatcher:
    """Records the checkpoints of all uploads of this process, many in one statement."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counted = Batcher(self._count_many)

    async def count(self, checkpoint: Checkpoint) -> bool:
        """Returns False if the epoch of the checkpoint is no longer the current one."""
        if await self._counted(checkpoint):
            return True
        # Its row may have been locked.
        async with self._database.connection() as db:
            return await count(db, [checkpoint]) == [True]

    async def _count_many(self, checkpoints: Sequence[Checkpoint]) -> list[bool]:
        async with self._database.connection() as db:
            return await count(db, checkpoints, wait=False)


async def count(
    db: Connection, checkpoints: Sequence[Checkpoint], *, wait: bool = True
) -> list[bool]:
    """Counts checkpoints, and wakes those who watch their uploads."""
    counted = await queries.checkpoint(db, checkpoints, wait=wait)
    results = [(one.upload_id, one.epoch) in counted for one in checkpoints]
    for upload_id, epoch in counted:
        db.notify(UploadChanged(upload_id, UploadState.ACTIVE, epoch))
    return results


class Checkpoints:
    """Records the checkpoints of one upload, for one writer in one epoch.

    The first checkpoint of a `NewUpload` creates its session and then calls `on_created` with its
    id.

    If `settles`, creating the session also settles the upload's idempotency key. Otherwise, the key
    is settled when the upload finishes.
    """

    def __init__(
        self,
        database: Database,
        batcher: CheckpointBatcher,
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
        self._batcher = batcher
        self._expiry = expiry
        self._settles = settles
        self._on_created = on_created

    @property
    def spec(self) -> UploadSpec:
        return self.upload.spec

    async def count(self, committed_size: int, parts: list[Part], *, last: bool = False) -> None:
        """Counts durable bytes. `last` means that no bytes follow.

        Raises Aborted (SUPERSEDED, IDEMPOTENCY_IN_PROGRESS) and FailedPrecondition
        (UPLOAD_NOT_ACTIVE, QUOTA_EXCEEDED) if this writer may not write.
        """
        upload_id = self.upload.upload_id
        creates = not self.exists
        self.exists = True  # if the database fails during the commit, the row may exist
        failpoint("upload.count.before")
        checkpoint = Checkpoint(upload_id, self.epoch, committed_size, parts, self._expiry, last)
        if creates:
            try:
                async with self._database.transaction() as tx:
                    await self._create(tx)
                    counted = await count(tx, [checkpoint]) == [True]
            except FailedPrecondition:  # a quota refuses it
                self.exists = False
                raise
        else:
            counted = await self._batcher.count(checkpoint)
        failpoint("upload.count.after")
        if not counted:
            await self._raise_refused()
        if creates and self._on_created:
            await self._on_created(upload_id)

    async def _raise_refused(self) -> None:
        upload_id = self.upload.upload_id
        async with self._database.connection() as db:
            upload = await queries.get(db, upload_id)
        if upload is None:  # deleted meanwhile
            raise upload_not_found(upload_id)
        if upload.state is UploadState.ACTIVE:
            raise superseded(upload_id)
        raise not_active(upload)

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
