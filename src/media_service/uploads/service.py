"""Use cases of uploads."""

from collections import Counter
from collections.abc import AsyncGenerator, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from media_service.access.fair_places import Place
from media_service.access.owner import Owner
from media_service.access.policy import Condition, authorize, owned_by, scope
from media_service.access.principal import LINK, Principal
from media_service.access.role import Role
from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.db.notifications import UploadChanged
from media_service.db.state_watch import watch
from media_service.db.transaction import Connection
from media_service.errors import DataLoss, Fault, MediaError
from media_service.failpoints import failpoint
from media_service.idempotency import queries as keys
from media_service.idempotency.lease import held
from media_service.idempotency.model import LEASE, RequestKey, in_progress, other_content
from media_service.jobs.model import JobKind
from media_service.media import queries as media_queries
from media_service.media.model import Visibility
from media_service.media.policy import policies_from
from media_service.media.reader import not_found as media_not_found
from media_service.media.service import policies_of
from media_service.media.versions.adding import check_replaceable
from media_service.share_links import queries as share_links
from media_service.sharing.creation import Creation, Destination, Placement
from media_service.storage.blob_store import BlobStore
from media_service.storage.checksums import Checksums
from media_service.storage.driver import part_too_small
from media_service.uploads import queries
from media_service.uploads.acceptance import Acceptance, merge
from media_service.uploads.access import load, load_to_write
from media_service.uploads.checkpoints import CheckpointBatcher, Checkpoints, Created
from media_service.uploads.creation import Creator
from media_service.uploads.errors import ended, not_active, superseded, upload_not_found
from media_service.uploads.finish import Finisher
from media_service.uploads.load import UploadLoad
from media_service.uploads.model import (
    Chunk,
    NewUpload,
    Upload,
    UploadResult,
    UploadSpec,
    UploadState,
)
from media_service.uploads.new_session import give_new_session, session_lost
from media_service.uploads.open_uploads import OpenUploads
from media_service.uploads.parts.check import ListedPart, outstanding
from media_service.uploads.parts.collect import Collector
from media_service.uploads.parts.receive import PartStream
from media_service.uploads.stream import UploadStream, check_chunk
from media_service.uploads.stream_runner import StreamRunner
from media_service.uploads.writer import BlobWriter

T = TypeVar("T")
CreateRequest = tuple[UploadSpec, RequestKey | None]

# States in which an upload accepts no more bytes, and has or will have a media.
BEING_COMPLETED = {UploadState.VERIFYING, UploadState.FINISHED}
# The expiry of a session that cannot be resumed.
LEFT_BEHIND = timedelta(hours=1)
NO_CHECKSUMS = Checksums()


class UploadService:
    """Creates, writes, completes and aborts uploads.

    A stream above the admission limit raises ResourceExhausted (SERVER_BUSY) and changes nothing.
    Streams and aborts use `receiving`, so that other calls need not wait for their many statements.
    `max_open`: the unfinished uploads of an owner. `expiry` is how long a session lives without new
    bytes. For `timeout`, see `UploadStream`.
    """

    def __init__(
        self,
        database: Database,
        receiving: Database,
        creation: Creation,
        store: BlobStore,
        finisher: Finisher,
        acceptance: Acceptance,
        collector: Collector,
        runner: StreamRunner,
        load: UploadLoad,
        *,
        max_open: int,
        expiry: timedelta,
        timeout: timedelta,
    ) -> None:
        self._database = database
        self._receiving = receiving
        self._creation = creation
        self._blobs = store
        self._finisher = finisher
        self._acceptance = acceptance
        self._open = OpenUploads(database, max_open)
        self._creator = Creator(database, store, acceptance, expiry)
        self._collector = collector
        self._runner = runner
        self._load = load
        self._batcher = CheckpointBatcher(receiving)
        self._expiry = expiry
        self._timeout = timeout

    # Sessions

    async def create(
        self, principal: Principal, requests: Sequence[CreateRequest], *, atomic: bool = True
    ) -> list[UploadResult | MediaError]:
        """Creates sessions; see `Creator.create`."""
        destinations = {destination_of(spec) for spec, _ in requests if not spec.replaces}
        placements = await self._creation.placements(principal, destinations)
        wanted: list[NewUpload | MediaError] = []
        for spec, key in requests:
            try:
                if spec.replaces:
                    wanted.append(await self._replacement(principal, spec, key))
                    continue
                found = placements[destination_of(spec)]
                if isinstance(found, MediaError):
                    raise found
                wanted.append(await self._new(principal, spec, found, key))
            except MediaError as error:
                wanted.append(error)
        accepted = Counter(new.owner for new in wanted if isinstance(new, NewUpload))
        with ExitStack() as stack:
            admitted = [
                stack.enter_context(await self._open.admit(principal, owner, count))
                for owner, count in accepted.items()
            ]
            created = await self._creator.create(wanted, atomic=atomic)
            for each in admitted:
                each.recorded()
        async with self._database.connection() as db:
            return [
                await self._result(db, made) if isinstance(made, Upload) else made
                for made in created
            ]

    async def get(self, principal: Principal, upload_id: str) -> UploadResult:
        async with self._database.connection() as db:
            return await self._result(db, await load(db, principal, upload_id))

    async def list_uploads(
        self,
        principal: Principal,
        *,
        state: UploadState | None,
        owner: Owner | None,
        project_id: str,
        after: tuple[datetime, str] | None,
        limit: int,
    ) -> list[UploadResult]:
        """Returns a page of the uploads visible to the caller, newest first, older than `after`
        (create_time, upload_id). `owner`, `state` and `project_id` filter them."""
        where = []
        if owner is not None:
            where.append(owned_by(owner, "u"))
        if project_id:
            where.append(Condition("u.project_id <> '' and u.project_id = %s", (project_id,)))
        async with self._database.connection() as db:
            uploads = await queries.page(db, scope(principal), where, state, after, limit)
            return [await self._result(db, upload) for upload in uploads]

    def watch(self, principal: Principal, upload_id: str) -> AsyncGenerator[UploadResult, None]:
        """Yields the upload now, after every change, and every 10 seconds. Ends with a final
        state."""
        read = partial(self.get, principal, upload_id)
        return watch(self._database, UploadChanged, upload_id, read, lambda r: r.upload.state.final)

    async def complete(
        self,
        principal: Principal,
        upload_id: str,
        checksums: Checksums,
        listed: Sequence[ListedPart] = (),
    ) -> UploadResult:
        """Completes an upload whose bytes are all stored. Idempotent. `listed` holds the parts as
        the caller knows them; it may be empty."""
        async with self._database.connection() as db:
            upload = await load(db, principal, upload_id)
        if upload.state not in BEING_COMPLETED:
            await self._collector.collect(upload)
            await self._finisher.finish_session(principal, upload_id, checksums, listed=listed)
        elif upload.state is UploadState.VERIFYING:
            await self._finisher.take_over(upload_id)
        return await self.get(principal, upload_id)

    async def abort(self, principal: Principal, upload_id: str) -> UploadResult:
        """Aborts an upload. Idempotent. A job removes its bytes."""
        async with self._receiving.transaction() as tx:
            upload = await load(tx, principal, upload_id)
            ended = await queries.end(tx, upload_id, UploadState.ACTIVE, UploadState.ABORTED)
            if ended:
                await tx.enqueue(NewJob(JobKind.DISCARD, upload_id))
                tx.notify(UploadChanged(upload_id, UploadState.ABORTED, upload.epoch))
                tx.audit(resource_id=upload_id, project_id=upload.spec.project_id)
            result = await self._result(tx, await load(tx, principal, upload_id))
            failpoint("upload.abort.before")
        failpoint("upload.abort.after")
        if result.upload.state is not UploadState.ABORTED:
            raise not_active(result.upload)
        return result

    # Streams

    async def append(
        self,
        principal: Principal,
        upload_id: str,
        chunks: AsyncGenerator[Chunk, None],
        *,
        declared: Checksums = NO_CHECKSUMS,
        atomic: bool = False,
    ) -> UploadResult:
        """Writes a stream to a session, starting at `committed_size`. `declared` holds checksums of
        the whole file. With `atomic`, the bytes are kept only if the stream succeeds."""
        with self._runner.admit(principal.charged) as place:
            taken = await self._take_over(principal, upload_id)
            checksums = merge(taken.spec.checksums, declared)
            taken = replace(taken, spec=replace(taken.spec, checksums=checksums))
            checkpoints = self._checkpoints(taken)
            writer = self._writer(checkpoints, taken.next_part, taken.committed_size)
            await self._receive_stream(principal, place, checkpoints, writer, chunks, atomic=atomic)
        return await self.get(principal, upload_id)

    async def write_new(
        self,
        principal: Principal,
        spec: UploadSpec,
        chunks: AsyncGenerator[Chunk, None],
        *,
        key: RequestKey | None = None,
        on_created: Created | None = None,
        resumable: bool = True,
    ) -> UploadResult:
        """Creates a session and writes a stream to it.

        A stream that finishes quickly is stored in one step, without a session. Otherwise,
        `on_created` is called when the session exists. If the stream breaks and is not `resumable`,
        its bytes are removed.

        If `key` was used before, a resumable stream continues the existing session. A stream that
        is not resumable must have the same bytes, and gets the first result.
        """
        new = await self._accepted(principal, spec, key)
        self._acceptance.of(new).check_spec(new.spec)
        with (
            self._runner.admit(principal.charged) as place,
            await self._open.admit(principal, new.owner, 1) as admitted,
        ):

            async def created(upload_id: str) -> None:
                admitted.recorded()
                if on_created:
                    await on_created(upload_id)

            known = await self._claim(new, resumable=resumable)
            if known is None:
                checkpoints = self._checkpoints(new, created, resumable=resumable)
                writer = self._writer(checkpoints, 1, 0)
                result = await self._receive_stream(
                    principal, place, checkpoints, writer, chunks, resumable=resumable
                )
                return result or await self.get(principal, new.upload_id)
        if not resumable:
            await self._require_same(principal, known, chunks)
        elif on_created:
            await on_created(known.upload_id)
        if known.state in BEING_COMPLETED:
            return await self.get(principal, known.upload_id)
        return await self.append(principal, known.upload_id, chunks)

    async def write_at_once(
        self, principal: Principal, spec: UploadSpec, chunk: Chunk, key: RequestKey | None = None
    ) -> UploadResult:
        """Stores a file that arrived in one chunk, without a stream or a session."""
        new = await self._accepted(principal, spec, key)
        acceptance = self._acceptance.of(new)
        acceptance.check_spec(new.spec)
        check_chunk(chunk, 0, 0, new, acceptance)
        declared = merge(spec.checksums, chunk.checksums)
        with self._runner.admit(principal.charged) as place:
            known = await self._claim(new)
            if known is None:
                storing = self._finisher.finish_in_one_step(principal, new, chunk.data, declared)
                return await self._runner.finish(place, self._keyed(new, storing))
        if known.state is UploadState.FINISHED:
            await self._require_same(principal, known, one(chunk))
        elif known.state is not UploadState.VERIFYING:
            return await self.append(principal, known.upload_id, one(chunk))
        return await self.get(principal, known.upload_id)

    async def _accepted(
        self, principal: Principal, spec: UploadSpec, key: RequestKey | None
    ) -> NewUpload:
        """Raises the errors of `Creation.place` and `_replacement`."""
        if spec.replaces:
            return await self._replacement(principal, spec, key)
        placement = await self._creation.place(principal, destination_of(spec))
        return await self._new(principal, spec, placement, key)

    async def _replacement(
        self, principal: Principal, spec: UploadSpec, key: RequestKey | None
    ) -> NewUpload:
        """An upload that replaces the file of a media belongs to what the media belongs to. Raises
        NotFound (MEDIA_NOT_FOUND), PermissionDenied (ROLE_REQUIRED), FailedPrecondition
        (MEDIA_DELETED) and Aborted (ETAG_MISMATCH), as the end of the upload will again."""
        media_id = spec.media_id.lower()
        async with self._database.connection() as db:
            found = await media_queries.get(db, media_id, principal)
            media = authorize(found, media_not_found(media_id), Role.EDITOR)
            check_replaceable(media, spec.if_etag)
            policies = await policies_of(db, media.owner.org_id, media.project_id)
        spec = replace(spec, media_id=media_id, project_id=media.project_id)
        return NewUpload(spec, media.owner, key, policies, media_id=media_id)

    async def _new(
        self, principal: Principal, spec: UploadSpec, placement: Placement, key: RequestKey | None
    ) -> NewUpload:
        """The upload of a guest is private, and limited as its share link says."""
        if principal.type != LINK:
            return new_upload(spec, placement, key)
        async with self._database.connection() as db:
            most = await share_links.max_file_size(db, principal.subject)
        if most is not None:
            spec = replace(spec, max_size_bytes=min(most, spec.max_size_bytes or most))
        new = new_upload(replace(spec, visibility_stated=True), placement, key)
        return replace(new, share_link_id=principal.subject)

    async def _claim(self, new: NewUpload, *, resumable: bool = True) -> Upload | None:
        """Claims the key of an upload, if it has one, for the duration of a lease. Returns the
        upload that the key created before, if it can be returned or continued."""
        if new.claim is None:
            return None
        async with self._receiving.connection() as db:
            upload_id, abandoned_id = await keys.claim(db, new.claim, LEASE)
            failpoint("key.claim.after")
            known = None
            if upload_id != new.upload_id:
                known = await queries.get(db, upload_id)
                if known is None:
                    raise upload_not_found(upload_id)
        if abandoned_id:
            await self._end(abandoned_id, UploadState.ABORTED)
        if known is None or resumable or known.state in BEING_COMPLETED:
            return known
        async with self._receiving.connection() as db:
            await keys.claim_again(db, new.claim, upload_id)
        return None

    async def _require_same(
        self, principal: Principal, known: Upload, chunks: AsyncGenerator[Chunk, None]
    ) -> None:
        """Checks that these bytes are those of the finished upload `known`. Raises Aborted:
        IDEMPOTENCY_CONFLICT if they differ, IDEMPOTENCY_IN_PROGRESS if it is not finished."""
        if known.state is not UploadState.FINISHED:
            raise in_progress()
        async with self._receiving.connection() as db:
            crc32c = await queries.stored_crc32c(db, known.upload_id)
        stream = PartStream(known.committed_size, other_content(), self._timeout)
        with self._runner.admit(principal.charged) as place:
            await self._runner.receive_stream(place, stream, stream.receive(None), chunks)
        if (stream.size, stream.crc32c) != (known.committed_size, crc32c):
            raise other_content()

    async def _keyed(self, upload: NewUpload | Upload, storing: Coroutine[Any, Any, T]) -> T:
        """Renews the lease on the key of a new upload, if it has one, while storing runs."""
        claim = upload.claim if isinstance(upload, NewUpload) else None
        async with held(self._receiving, claim):
            return await storing

    async def _take_over(self, principal: Principal, upload_id: str) -> Upload:
        """Starts a new epoch for a stream, and returns the upload. Raises FailedPrecondition
        (UPLOAD_NOT_ACTIVE, PARTS_OUTSTANDING) and InvalidArgument (PART_TOO_SMALL)."""
        async with self._receiving.connection() as db:
            upload = await load_to_write(db, principal, upload_id)
        await self._collector.collect(upload)
        async with self._receiving.transaction() as tx:
            locked = await queries.lock(tx, upload_id)
            if locked is None or locked.state is not UploadState.ACTIVE:
                raise not_active(locked or upload)
            least = self._blobs.driver.limits.min_part_size
            last = await queries.highest_part(tx, upload_id) if least else None
            taken = await queries.take_over(tx, upload_id)
            if taken is None:
                raise outstanding(locked, await queries.parts(tx, upload_id))
            if last and last[0] < locked.next_part and last[1] < least:
                raise part_too_small(last[0], least)
            dropped = await queries.drop_claims(tx, upload_id)
            tx.notify(UploadChanged(upload_id, UploadState.ACTIVE, taken.epoch))
        failpoint("upload.take-over.after")
        if locked.settled and not dropped:
            return taken
        return await self._runner.to_its_end(give_new_session(self._receiving, self._blobs, taken))

    async def _receive_stream(
        self,
        principal: Principal,
        place: Place,
        checkpoints: Checkpoints,
        writer: BlobWriter,
        chunks: AsyncGenerator[Chunk, None],
        *,
        atomic: bool = False,
        resumable: bool = True,
    ) -> UploadResult | None:
        """Runs a stream to its end. Returns the result, or None if it must be queried."""
        stream = UploadStream(
            writer,
            checkpoints,
            self._acceptance.of(checkpoints.upload),
            self._load,
            self._timeout,
            atomic=atomic,
        )
        storing = self._keyed(
            checkpoints.upload,
            self._store(principal, stream, checkpoints, writer, resumable=resumable),
        )
        with self._fenced(stream, checkpoints):
            return await self._runner.receive_stream(place, stream, storing, chunks)

    async def _store(
        self,
        principal: Principal,
        stream: UploadStream,
        checkpoints: Checkpoints,
        writer: BlobWriter,
        *,
        resumable: bool,
    ) -> UploadResult | None:
        """Stores a stream and, if the caller asked for it, finishes the upload. Continues if the
        caller disconnects."""
        upload = checkpoints.upload
        try:
            await self._store_stream(stream, checkpoints)
            declared = merge(checkpoints.spec.checksums, stream.checksums)
            if not stream.finish:
                return None
            if isinstance(upload, NewUpload) and not checkpoints.exists:
                data = b"".join(chunk.data for chunk in stream.held)
                return await self._finisher.finish_in_one_step(principal, upload, data, declared)
            unsettled = upload.claim if isinstance(upload, NewUpload) and not resumable else None
            await self._finisher.finish_session(
                principal,
                upload.upload_id,
                declared,
                epoch=checkpoints.epoch,
                sha256=writer.sha256(),
                claim=unsettled,
            )
            return None
        except Exception:
            if not checkpoints.exists:
                await self._blobs.driver.abort(
                    self._blobs.key(upload.blob_id), checkpoints.store_session
                )
            elif stream.refusal:
                fault = Fault(stream.refusal.reason, stream.refusal.message)
                await self._end(upload.upload_id, UploadState.FAILED, fault)
            elif not resumable:
                await self._end(upload.upload_id, UploadState.ABORTED)
            raise

    async def _store_stream(self, stream: UploadStream, checkpoints: Checkpoints) -> None:
        try:
            await stream.store()
        except DataLoss as error:
            if not checkpoints.exists:
                raise
            # The store session ended in the meantime.
            raise await session_lost(
                self._receiving, checkpoints.upload.upload_id, checkpoints.store_session
            ) from error

    @contextmanager
    def _fenced(self, stream: UploadStream, checkpoints: Checkpoints) -> Iterator[None]:
        """Interrupts the stream as soon as another writer takes over or the session ends."""
        upload_id = checkpoints.upload.upload_id

        def changed(notification: UploadChanged) -> None:
            if notification.epoch > checkpoints.epoch:
                stream.interrupt(superseded(upload_id))
            elif notification.state in {UploadState.ABORTED, UploadState.EXPIRED}:
                stream.interrupt(ended(upload_id, notification.state))

        with self._receiving.listen(UploadChanged, upload_id, changed):
            yield

    def _checkpoints(
        self,
        upload: NewUpload | Upload,
        on_created: Created | None = None,
        *,
        resumable: bool = True,
    ) -> Checkpoints:
        return Checkpoints(
            self._receiving,
            self._batcher,
            upload,
            # A session that cannot be resumed remains only if the server dies.
            expiry=self._expiry if resumable else min(self._expiry, LEFT_BEHIND),
            settles=resumable,
            on_created=on_created,
        )

    def _writer(self, checkpoints: Checkpoints, number: int, offset: int) -> BlobWriter:
        return BlobWriter(
            self._blobs.driver,
            self._blobs.key(checkpoints.upload.blob_id),
            checkpoints.store_session,
            checkpoints.epoch,
            number,
            offset,
            hashing=checkpoints.spec.checksums.sha256 is not None,
        )

    async def _end(self, upload_id: str, state: UploadState, fault: Fault | None = None) -> None:
        """Ends a session that cannot be resumed; a job deletes its bytes."""
        async with self._receiving.transaction() as tx:
            if await queries.end(tx, upload_id, UploadState.ACTIVE, state, fault):
                await tx.enqueue(NewJob(JobKind.DISCARD, upload_id))
                tx.notify(UploadChanged(upload_id, state))

    async def _result(self, db: Connection, upload: Upload) -> UploadResult:
        media = None
        if upload.state is UploadState.FINISHED:
            media = await media_queries.get(db, upload.media_id)
        limits = self._blobs.driver.limits
        return UploadResult(
            upload,
            media,
            min_append_size=limits.min_part_size,
            max_part_size=limits.max_part_size or self._acceptance.of(upload).max_size,
        )


def destination_of(spec: UploadSpec) -> Destination:
    published = spec.attributes.visibility is not Visibility.PRIVATE
    return Destination(spec.owner, spec.project_id, published)


def new_upload(spec: UploadSpec, placement: Placement, key: RequestKey | None) -> NewUpload:
    policies = policies_from(placement.policies)
    return NewUpload(spec.under(policies), placement.owner, key, policies)


async def one(chunk: Chunk) -> AsyncGenerator[Chunk, None]:
    yield chunk
