"""Creates upload sessions, one or several at a time."""

from collections.abc import Sequence
from datetime import timedelta

from media_service.db.database import Database
from media_service.db.refusals import file_blocked
from media_service.db.transaction import Transaction
from media_service.errors import Aborted, FailedPrecondition, MediaError, Reason
from media_service.failpoints import failpoint
from media_service.idempotency import queries as keys
from media_service.policies.queries import blocklist
from media_service.quotas import queries as quotas
from media_service.storage.blob_store import BlobStore
from media_service.storage.concurrency import for_each
from media_service.uploads import queries
from media_service.uploads.acceptance import Acceptance
from media_service.uploads.errors import blob_removed, upload_not_found
from media_service.uploads.model import NewUpload, Upload

# The number of object store sessions that are opened or aborted at the same time.
PARALLEL = 32


class Creator:
    """Creates sessions. `expiry` is how long a session lives without new bytes."""

    def __init__(
        self, database: Database, store: BlobStore, acceptance: Acceptance, expiry: timedelta
    ) -> None:
        self._database = database
        self._store = store
        self._acceptance = acceptance
        self._expiry = expiry

    async def create(
        self, wanted: Sequence[NewUpload | MediaError], *, atomic: bool
    ) -> list[Upload | MediaError]:
        """Creates uploads. Returns one result for each, in the same order: the upload, or the error
        that refused it, also if it was refused before.

        If a key was used before, the result is the upload that it created then. If `atomic`, the
        first error is raised and no upload is created.
        """
        checked = [self._checked(new) for new in wanted]
        if atomic:
            raise_first(checked)
        sessions: dict[str, str] = {}  # by blob id
        try:
            accepted = [new for new in checked if isinstance(new, NewUpload)]
            await self._begin(accepted, sessions)
            failpoint("upload.create.before")
            async with self._database.transaction() as db:
                create = self._create
                if len(accepted) > 1 and await quotas.lock(db, [new.charged for new in accepted]):
                    create = self._create_if_it_fits
                results = [
                    await create(db, new, sessions[new.blob_id])
                    if isinstance(new, NewUpload)
                    else new
                    for new in checked
                ]
                if atomic:
                    raise_first(results)
                # If the database fails during the commit, the rows may exist, and then their
                # sessions must too. Reconciliation removes those without a row.
                for result in results:
                    if isinstance(result, Upload):
                        sessions.pop(result.blob_id, None)
            failpoint("upload.create.after")
            return results
        except FailedPrecondition as error:
            if atomic or error.reason is not Reason.QUOTA_EXCEEDED:
                raise
            # There is one, because several do not fail together.
            return [error if isinstance(new, NewUpload) else new for new in checked]
        finally:
            await self._abort(sessions)

    def _checked(self, new: NewUpload | MediaError) -> NewUpload | MediaError:
        try:
            if isinstance(new, NewUpload):
                self._acceptance.of(new).check_spec(new.spec)
        except MediaError as error:
            return error
        return new

    async def _create_if_it_fits(
        self, db: Transaction, new: NewUpload, session: str
    ) -> Upload | MediaError:
        try:
            async with db.savepoint():
                return await self._create(db, new, session)
        except FailedPrecondition as error:
            if error.reason is not Reason.QUOTA_EXCEEDED:
                raise
            return error

    async def _create(self, db: Transaction, new: NewUpload, session: str) -> Upload | MediaError:
        declared = new.spec.checksums.sha256
        if declared and await blocklist.is_blocked(db, new.owner.org_id, declared):
            return file_blocked(declared.hex())
        if new.claim:
            try:
                upload_id, _ = await keys.claim(db, new.claim)
            except Aborted as error:
                if db.failed:
                    raise
                return error
            if upload_id != new.upload_id:
                known = await queries.get(db, upload_id)
                return known or upload_not_found(upload_id)
        upload = await queries.insert(db, new, session, 0, self._expiry)
        if upload is None:
            raise blob_removed()
        db.audit(
            "uploads.create",
            org_id=new.owner.org_id,
            project_id=new.spec.project_id,
            resource_id=new.upload_id,
        )
        return upload

    async def _begin(self, accepted: Sequence[NewUpload], sessions: dict[str, str]) -> None:
        """Opens a store session for each upload."""

        async def begin(new: NewUpload) -> None:
            sessions[new.blob_id] = await self._store.driver.begin(self._store.key(new.blob_id))

        await for_each(begin, accepted, PARALLEL)

    async def _abort(self, sessions: dict[str, str]) -> None:
        async def abort(one: tuple[str, str]) -> None:
            await self._store.driver.abort(self._store.key(one[0]), one[1])

        await for_each(abort, list(sessions.items()), PARALLEL)


def raise_first(results: Sequence[object]) -> None:
    for result in results:
        if isinstance(result, MediaError):
            raise result
