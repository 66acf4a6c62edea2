"""Completes an upload: joins its blob, verifies it, and creates its media in one transaction.

Every step can be repeated. An upload is VERIFYING until it is completed. A FINISH job takes over
if this process dies. If the bytes must be read back, the job runs at once.
"""

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from crc32c import crc32c as crc32c_of

from media_service.access.owner import Owner
from media_service.access.policy import authorize
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.blobs import queries as blob_queries
from media_service.blobs.model import Blob
from media_service.clock import now
from media_service.db.audit_entry import AuditedCall, current_call
from media_service.db.batcher import Batcher
from media_service.db.database import Database, Duplicate
from media_service.db.new_job import NewJob
from media_service.db.notifications import UploadChanged
from media_service.db.transaction import Rows, Transaction
from media_service.errors import (
    Aborted,
    DataLoss,
    FailedPrecondition,
    Fault,
    InvalidArgument,
    MediaError,
    NotFound,
    PermissionDenied,
    Reason,
    ResourceExhausted,
    Unavailable,
)
from media_service.failpoints import failpoint
from media_service.idempotency import queries as keys
from media_service.idempotency.model import KeyClaim
from media_service.jobs.model import Claim, JobKind, JobState
from media_service.jobs.queries import changing, claimed_jobs
from media_service.media import queries as media_queries
from media_service.media.intake import created_event, intake_jobs
from media_service.media.model import NOT_SCANNED, Kind, NewMedia, Scan
from media_service.media.pixels import HEAD
from media_service.media.reader import not_found
from media_service.media.versions.adding import add_version, check_kind, check_replaceable
from media_service.policies.queries import blocklist
from media_service.quotas import queries as quotas
from media_service.storage.blob_store import BlobStore
from media_service.storage.buffer import Buffer
from media_service.storage.checksums import Checksums
from media_service.storage.crc32c_combine import combine
from media_service.uploads import queries
from media_service.uploads.acceptance import (
    Acceptance,
    check_checksums,
    check_complete,
    check_not_empty,
    merge,
)
from media_service.uploads.access import check_completer
from media_service.uploads.errors import blob_removed, not_active, superseded
from media_service.uploads.finish_turns import MOST_SHARED_TURNS, MOST_TURNS, FinishTurns
from media_service.uploads.model import NewUpload, Part, Upload, UploadResult, UploadState
from media_service.uploads.parts.check import ListedPart, check_parts

log = logging.getLogger(__name__)

# The time a process has to complete an upload before the worker takes over.
TAKE_OVER = timedelta(seconds=60)
TRANSIENT = (Unavailable, ResourceExhausted)
# The preconditions that an upload cannot meet later.
REFUSED = {Reason.FILE_BLOCKED, Reason.MEDIA_DELETED}


def whole_crc32c(parts: list[Part]) -> int:
    crc = 0
    for part in parts:
        crc = combine(crc, part.crc32c, part.size)
    return crc


def media_of(
    upload: NewUpload | Upload, kind: Kind, content_type: str, blob: Blob, scan: Scan
) -> NewMedia:
    """Builds the media that an upload creates."""
    spec = upload.spec
    return NewMedia(
        upload.media_id,
        upload.owner,
        kind,
        content_type,
        spec.filename,
        blob,
        spec.project_id,
        spec.attributes,
        scan,
        upload.policies.strip_metadata,
    )


async def add_replacement(
    tx: Transaction, upload: NewUpload | Upload, new: NewMedia, completer: Principal | None
) -> int:
    """Adds the version that an upload creates. Takes the lock of its media. Returns its number.

    Raises NotFound (MEDIA_NOT_FOUND), PermissionDenied (ROLE_REQUIRED), FailedPrecondition
    (MEDIA_DELETED), Aborted (ETAG_MISMATCH) and InvalidArgument (KIND_MISMATCH).
    """
    missing = not_found(new.media_id)
    if completer is None:
        raise missing
    media = await media_queries.lock(tx, new.media_id, completer)
    media = authorize(media, missing, Role.EDITOR)
    check_replaceable(media, upload.spec.if_etag)
    check_kind(media, new.kind, inspected=False)
    await blob_queries.add(tx, new.blob)
    new = replace(new, owner=media.owner, project_id=media.project_id)  # as they are now
    return await add_version(tx, new, completer.owner)


def record_creation(
    tx: Transaction, media: NewMedia, upload_id: str, call: AuditedCall | None = None
) -> None:
    """`call`: of the upload, if the transaction does not run in it."""
    size = media.blob.size_bytes
    tx.emit(created_event(media))
    tx.audit("media.create", call=call, media_id=media.media_id, resource_id=upload_id, size=size)


def audit_version(
    tx: Transaction,
    media: NewMedia,
    version: int,
    upload_id: str,
    call: AuditedCall | None = None,
) -> None:
    """Like `record_creation`, of a new version."""
    tx.audit(
        "versions.create",
        call=call,
        media_id=media.media_id,
        version=version,
        resource_id=upload_id,
        size=media.blob.size_bytes,
    )


@dataclass(frozen=True, slots=True)
class Finished:
    """A new upload whose bytes are stored and accepted, together with its media."""

    new: NewUpload
    media: NewMedia
    call: AuditedCall | None

    @property
    def intake_jobs(self) -> list[NewJob]:
        return intake_jobs(self.media, self.call.caller if self.call else None)

    def upload(self, time: datetime) -> Upload:
        """The finished upload. `time` is the time of its creation."""
        return Upload(
            upload_id=self.new.upload_id,
            media_id=self.new.media_id,
            spec=self.new.spec,
            owner=self.new.owner,
            state=UploadState.FINISHED,
            blob_id=self.new.blob_id,
            store_session="",
            epoch=1,
            next_part=1,
            committed_size=self.media.blob.size_bytes,
            parts_since=None,
            settled=True,
            create_time=time,
            update_time=time,
            expire_time=time,
        )


async def insert(tx: Transaction, finished: Sequence[Finished]) -> Rows:
    """Adds uploads and their media. Returns rows with their `create_time`."""
    media = [one.media for one in finished]
    await keys.settle(tx, [one.new.claim for one in finished if one.new.claim])
    rows = await queries.insert_finished(tx, [one.new for one in finished], media)
    await media_queries.insert(tx, media)
    await tx.enqueue(*(job for one in finished for job in one.intake_jobs))
    for one in finished:
        record_creation(tx, one.media, one.new.upload_id, one.call)
    return rows


class Finisher:
    """`new_scan`: the virus scan of each new media."""

    def __init__(
        self,
        database: Database,
        store: BlobStore,
        acceptance: Acceptance,
        new_scan: Scan = NOT_SCANNED,
    ) -> None:
        self._database = database
        self._store = store
        self._acceptance = acceptance
        self._new_scan = new_scan
        self._add = Batcher(self._add_many)
        # Apart from each other, so that what has begun ends before a worker takes it over.
        self._beginning, self._ending = FinishTurns(MOST_TURNS), FinishTurns(MOST_TURNS)
        self._shared_turns = FinishTurns(MOST_SHARED_TURNS)

    async def finish_session(
        self,
        principal: Principal,
        upload_id: str,
        declared: Checksums,
        *,
        epoch: int | None = None,
        sha256: bytes | None = None,
        listed: Sequence[ListedPart] = (),
        claim: KeyClaim | None = None,
    ) -> None:
        """Completes an ACTIVE upload. Does nothing if the upload is VERIFYING or FINISHED.

        `declared` holds checksums in addition to those of the upload. `epoch` is the epoch of the
        stream that just ended, if any. `sha256` is the hash of the whole file, if that stream
        computed it. If it did not and a SHA-256 is declared, the upload stays VERIFYING and the
        worker checks the hash. `listed` holds the parts as the caller knows them. `claim` is an
        idempotency key to settle.

        Raises Aborted (SUPERSEDED, IDEMPOTENCY_IN_PROGRESS), FailedPrecondition
        (UPLOAD_NOT_ACTIVE, UPLOAD_INCOMPLETE), AlreadyExists (PART_CONFLICT), NotFound
        (PROJECT_NOT_FOUND) and PermissionDenied (ROLE_REQUIRED) if the caller may no longer add
        media to the project, ResourceExhausted (SERVER_BUSY) if too many uploads finish, and the
        error that makes the upload FAILED.
        """
        failpoint("upload.verify.before")
        async with self._beginning.turn(principal.charged), self._database.transaction() as tx:
            upload = await queries.lock_to_finish(tx, upload_id, principal)
            if upload is None or upload.state in {UploadState.VERIFYING, UploadState.FINISHED}:
                return
            if upload.state is not UploadState.ACTIVE:
                raise not_active(upload)
            if epoch is not None and upload.epoch != epoch:
                raise superseded(upload_id)
            check_completer(upload)
            declared = merge(upload.spec.checksums, declared)
            known = await queries.parts(tx, upload_id)
            check_parts(upload, known, listed)
            # `committed_size` does not include replaceable parts, so add up all stored parts.
            stored = [part for part in known if part.stored]
            size = sum(part.size for part in stored)
            check_complete(upload.spec, size)
            if claim:
                await keys.settle(tx, [claim])
            next_part = max([upload.next_part, *(part.number + 1 for part in stored)])
            read_back = declared.sha256 is not None and sha256 is None
            verifier = None if read_back else self._database.presence
            await queries.begin_verifying(
                tx, upload_id, declared, size, next_part, verifier, principal
            )
            delay = timedelta() if read_back else TAKE_OVER
            await tx.enqueue(NewJob(JobKind.FINISH, upload_id, delay=delay))
            tx.notify(UploadChanged(upload_id, UploadState.VERIFYING, upload.epoch + 1))
        failpoint("upload.verify.after")
        if read_back:
            return
        await self._settle(upload, stored, declared, sha256, principal)

    async def take_over(self, upload_id: str) -> None:
        """Starts the job of an upload at once whose server died while it was VERIFYING. Without
        this, the job starts after `TAKE_OVER`.

        A server that only lost its connection may still be completing the upload. That is safe,
        because every step can be repeated, and one of both ends the upload.
        """
        async with self._database.transaction() as tx:
            if await queries.verifier_is_gone(tx, upload_id):
                await changing.hasten(tx, JobKind.FINISH, upload_id)

    async def finish_in_one_step(
        self, principal: Principal, new: NewUpload, data: Buffer, declared: Checksums
    ) -> UploadResult:
        """Creates a FINISHED upload and its media, or a new version of one. Checks the bytes,
        stores them, then adds the rows.

        Raises the errors of `add_replacement`, Aborted (IDEMPOTENCY_IN_PROGRESS), ResourceExhausted
        (SERVER_BUSY) if too many uploads finish, and any error that would make an upload FAILED.
        After an error, neither bytes nor rows remain.
        """
        charged = principal.charged
        async with self._shared_turns.turn(charged):
            check_complete(new.spec, len(data))
            check_not_empty(len(data))
            checksums = Checksums(crc32c_of(data), hashlib.sha256(data).digest())
            check_checksums(declared, checksums)
            content_type, kind = self._acceptance.of(new).check_content(
                bytes(data[:HEAD]), new.spec.content_type
            )
        key = self._store.key(new.blob_id)
        await self._store.driver.put(key, data)
        failpoint("upload.one-step.before")
        blob = Blob(new.blob_id, self._store.name, key, len(data), checksums)
        media = media_of(new, kind, content_type, blob, self._new_scan)
        try:
            finished = Finished(new, media, current_call.get())
            # What a share link refuses would fail the uploads of others in the same transaction.
            alone = new.share_link_id is not None
            async with self._shared_turns.turn(charged):
                if new.spec.replaces:
                    return await self._add_replacement(principal, finished)
                upload = await (self._add_alone(finished) if alone else self._add(finished))
            if isinstance(upload, MediaError):
                raise upload
        except Unavailable:
            raise  # the rows may have been added
        except Exception as error:
            await self._store.driver.delete(key)
            if isinstance(error, Duplicate):
                raise blob_removed() from None
            raise
        failpoint("upload.one-step.after")
        return UploadResult(upload, media.created(upload.create_time))

    async def _add_replacement(self, principal: Principal, finished: Finished) -> UploadResult:
        """Adds an upload and the version that it creates. The upload has the owner and the project
        that the media has now."""
        new = finished.new
        async with self._database.transaction() as tx:
            media = await media_queries.lock(tx, new.media_id, principal)
            if media is not None and (media.owner, media.project_id) != (
                new.owner,
                new.spec.project_id,
            ):
                spec = replace(new.spec, project_id=media.project_id)
                new = replace(new, owner=media.owner, spec=spec)
            if new.claim:
                await keys.settle(tx, [new.claim])
            rows = await queries.insert_finished(tx, [new], [finished.media])
            version = await add_replacement(tx, new, finished.media, principal)
            await queries.set_version(tx, new.upload_id, version)
            audit_version(tx, finished.media, version, new.upload_id)
            media = await media_queries.get(tx, new.media_id)
            time = (await rows.fetchall())[0]["create_time"]
        upload = replace(replace(finished, new=new).upload(time), version=version)
        return UploadResult(upload, media)

    async def _add_alone(self, finished: Finished) -> Upload | MediaError:
        (added,) = await self._add_many([finished])
        return added

    async def _add_many(self, finished: Sequence[Finished]) -> Sequence[Upload | MediaError]:
        """Adds uploads and their media in one transaction. Returns an error for those that a quota
        refuses. Raises `Duplicate`, Aborted, or FailedPrecondition (FILE_BLOCKED) if one of several
        is blocked."""
        try:
            async with self._database.pipeline() as tx:
                rows = await insert(tx, finished)
        except FailedPrecondition as error:  # a quota or a blocklist refuses it
            if len(finished) == 1:
                return [error]
            if error.reason is not Reason.QUOTA_EXCEEDED:
                raise  # they are added separately
            return await self._add_what_fits(finished)
        time = (await rows.fetchall())[0]["create_time"]  # of the transaction
        return [one.upload(time) for one in finished]

    async def _add_what_fits(self, finished: Sequence[Finished]) -> Sequence[Upload | MediaError]:
        """Like `_add_many`. However many are refused, it is one transaction, so that an account
        without room does not slow down the others."""
        wanted = [(one.new.charged, one.media.blob.size_bytes) for one in finished]
        async with self._database.transaction() as tx:
            refused = await quotas.refused(tx, wanted)
            admitted = [one for one, error in zip(finished, refused, strict=True) if not error]
            rows = await insert(tx, admitted) if admitted else None
        time = (await rows.fetchall())[0]["create_time"] if rows else now()
        return [error or one.upload(time) for one, error in zip(finished, refused, strict=True)]

    async def finish_job(self, claim: Claim) -> None:
        """Completes an upload that is still VERIFYING. Runs in the worker."""
        async with self._database.connection() as db:
            upload = await queries.get(db, claim.subject_id)
            known = await queries.parts(db, claim.subject_id)
            if upload is not None:
                screened = await blocklist.screens(db, upload.owner.org_id)
                upload = replace(upload, screened=screened)
            completer = await queries.completer(db, claim.subject_id)
        if upload is None or upload.state is not UploadState.VERIFYING:
            async with self._database.connection() as db:
                await claimed_jobs.finish(db, claim, JobState.SUCCEEDED)
            return
        try:
            stored = [part for part in known if part.stored]
            await self._settle(upload, stored, upload.spec.checksums, None, completer)
        except TRANSIENT:
            raise
        except MediaError as error:
            log.info("upload %s failed: %s", upload.upload_id, error.reason)
        failpoint("upload.finish-job.after")
        async with self._database.connection() as db:
            await claimed_jobs.finish(db, claim, JobState.SUCCEEDED)

    async def give_up_job(self, claim: Claim, fault: Fault) -> None:
        """Marks an upload FAILED after the last attempt of its job."""
        async with self._database.transaction() as tx:
            if not await claimed_jobs.finish(tx, claim, JobState.FAILED, fault):
                return
            await self._fail(tx, claim.subject_id, fault)

    async def _settle(
        self,
        upload: Upload,
        parts: list[Part],
        declared: Checksums,
        sha256: bytes | None,
        completer: Principal | None,
    ) -> None:
        """Ends an upload that is VERIFYING. Adds its media if the caller who completes it still
        may. Holds no turn while it waits for the store."""
        upload_id, charged = upload.upload_id, completer.charged if completer else upload.owner
        try:
            new = await self._check(upload, parts, declared, sha256)
        except TRANSIENT:
            raise  # the job retries
        except DataLoss as error:  # for example, the disk is not mounted yet
            raise Unavailable(
                Reason.STORAGE_UNAVAILABLE,
                "The stored bytes of this upload cannot be read. Try again later.",
            ) from error
        except MediaError as error:
            await self._refuse(upload_id, error, charged)
            raise
        failpoint("upload.finish.before")
        try:
            async with self._ending.turn(charged):
                await self._finish(upload, new, completer)
        except (NotFound, PermissionDenied, FailedPrecondition, Aborted, InvalidArgument) as error:
            if not isinstance(error, FailedPrecondition) or error.reason in REFUSED:
                await self._refuse(upload_id, error, charged)
            raise
        failpoint("upload.finish.after")

    async def _finish(self, upload: Upload, new: NewMedia, completer: Principal | None) -> None:
        """Raises the errors of `check_completer` and `add_replacement`, and FailedPrecondition
        (FILE_BLOCKED)."""
        upload_id, replaces = upload.upload_id, upload.spec.replaces
        async with self._database.transaction() as tx:
            if replaces:  # the lock of the media comes first, as for transfers
                await media_queries.lock(tx, upload.media_id)
            if completer and (locked := await queries.lock_to_finish(tx, upload_id, completer)):
                check_completer(locked)
            if await queries.end(tx, upload_id, UploadState.VERIFYING, UploadState.FINISHED):
                if replaces:
                    version = await add_replacement(tx, upload, new, completer)
                    await queries.set_version(tx, upload_id, version)
                    audit_version(tx, new, version, upload_id)
                else:
                    await media_queries.insert(tx, [new])
                    await tx.enqueue(*intake_jobs(new, completer.owner if completer else None))
                    record_creation(tx, new, upload_id)
                await changing.withdraw(tx, JobKind.FINISH, upload_id)
                tx.notify(UploadChanged(upload_id, UploadState.FINISHED, upload.epoch))
            failpoint("upload.finish.inside")

    async def _check(
        self, upload: Upload, parts: list[Part], declared: Checksums, sha256: bytes | None
    ) -> NewMedia:
        """Joins the parts into the blob and verifies it. If the SHA-256 is declared, or may be
        blocked, and `sha256` is None, reads the blob to compute it."""
        size = sum(part.size for part in parts)
        check_complete(upload.spec, size)
        check_not_empty(size)
        crc32c = await asyncio.to_thread(whole_crc32c, parts)  # slow for thousands of parts
        check_checksums(declared, Checksums(crc32c, sha256))
        key = self._store.key(upload.blob_id)
        await self._store.driver.complete(
            key, upload.store_session, [part.in_store for part in parts]
        )
        head = await self._store.head(key, size, HEAD)
        acceptance = self._acceptance.of(upload)
        content_type, kind = acceptance.check_content(head, upload.spec.content_type)
        if sha256 is None and (declared.sha256 is not None or upload.screened):
            sha256 = await self._store.sha256(key, size)
            check_checksums(declared, Checksums(None, sha256))
        blob = Blob(upload.blob_id, self._store.name, key, size, Checksums(crc32c, sha256))
        return media_of(upload, kind, content_type, blob, self._new_scan)

    async def _refuse(self, upload_id: str, error: MediaError, charged: Owner) -> None:
        async with self._ending.turn(charged), self._database.transaction() as tx:
            await self._fail(tx, upload_id, Fault(error.reason, error.message))

    async def _fail(self, tx: Transaction, upload_id: str, fault: Fault) -> None:
        ended = await queries.end(tx, upload_id, UploadState.VERIFYING, UploadState.FAILED, fault)
        if ended:
            await changing.withdraw(tx, JobKind.FINISH, upload_id)
            tx.notify(UploadChanged(upload_id, UploadState.FAILED))
            if fault.reason != Reason.STORAGE_UNAVAILABLE:  # otherwise, the bytes may be intact
                await tx.enqueue(NewJob(JobKind.DISCARD, upload_id))
