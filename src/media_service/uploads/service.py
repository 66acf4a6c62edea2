"""Use cases of uploads."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from media_service.access.owner import Owner
from media_service.access.permission import Permission
from media_service.access.policy import creator, scope
from media_service.access.principal import Principal
from media_service.db.database import Database
from media_service.db.events import UploadChanged
from media_service.db.new_job import NewJob
from media_service.db.transaction import Connection
from media_service.db.watch import watch
from media_service.errors import DataLoss, FailedPrecondition, Reason
from media_service.failpoints import failpoint
from media_service.ids import new_id
from media_service.jobs.model import JobKind
from media_service.media import queries as catalogue
from media_service.storage.blob_store import BlobStore
from media_service.storage.checksums import Checksums
from media_service.storage.driver import part_too_small
from media_service.uploads import queries
from media_service.uploads.acceptance import Acceptance, merge
from media_service.uploads.admission import Place
from media_service.uploads.finish import Finisher
from media_service.uploads.ledger import (
    Created,
    Ledger,
    load,
    not_active,
    superseded,
    upload_exists,
)
from media_service.uploads.model import Chunk, Upload, UploadResult, UploadSpec, UploadState
from media_service.uploads.parts.check import ListedPart, outstanding
from media_service.uploads.parts.collect import Collector
from media_service.uploads.running import Running
from media_service.uploads.stream import UploadStream, check_chunk
from media_service.uploads.succession import lost, succeed
from media_service.uploads.writer import BlobWriter

NO_CHECKSUMS = Checksums()


class UploadService:
    """Sessions, streams into them, and their ends. Streams for which there is no place raise
    ResourceExhausted (SERVER_BUSY), and change nothing. `expiry`: how long a session may rest;
    `timeout`: see `UploadStream`."""

    def __init__(
        self,
        database: Database,
        store: BlobStore,
        finisher: Finisher,
        acceptance: Acceptance,
        collector: Collector,
        running: Running,
        *,
        expiry: timedelta,
        timeout: timedelta,
    ) -> None:
        self._database = database
        self._blobs = store
        self._finisher = finisher
        self._acceptance = acceptance
        self._collector = collector
        self._running = running
        self._expiry = expiry
        self._timeout = timeout

    # Sessions

    async def create(self, principal: Principal, specs: Sequence[UploadSpec]) -> list[UploadResult]:
        """Opens sessions, all or none. A known request id gives the session it opened before."""
        owner = creator(principal, Permission.UPLOADS_WRITE)
        for spec in specs:
            self._acceptance.check_declared(spec)
        blobs = [new_id() for _ in specs]
        unused: dict[str, str] = {}
        try:
            for blob_id in blobs:
                unused[blob_id] = await self._begin(blob_id)
            failpoint("upload.create.before")
            async with self._database.transaction() as tx:
                uploads = [
                    await self._create(tx, owner, spec, blob_id, unused[blob_id])
                    for spec, blob_id in zip(specs, blobs, strict=True)
                ]
                results = [await self._result(tx, upload) for upload in uploads]
            failpoint("upload.create.after")
            for upload in uploads:
                unused.pop(upload.blob_id, None)
            return results
        finally:
            for blob_id, session in unused.items():
                await self._blobs.driver.abort(self._blobs.key(blob_id), session)

    async def _create(
        self, db: Connection, owner: Owner, spec: UploadSpec, blob_id: str, session: str
    ) -> Upload:
        inserted = await queries.insert(
            db,
            spec,
            owner,
            blob_id=blob_id,
            store_session=session,
            epoch=0,
            expiry=self._expiry,
        )
        if inserted:
            upload = await queries.get(db, spec.upload_id)
        elif spec.request_id:
            upload = await queries.by_request(db, owner, spec.request_id)
        else:
            upload = None
        if upload is None:
            raise upload_exists(spec.upload_id)
        return upload

    async def get(self, principal: Principal, upload_id: str) -> UploadResult:
        async with self._database.connection() as db:
            return await self._result(
                db, await load(db, principal, Permission.UPLOADS_READ, upload_id)
            )

    async def list_uploads(
        self,
        principal: Principal,
        state: UploadState | None,
        after: tuple[datetime, str] | None,
        limit: int,
    ) -> list[UploadResult]:
        """The caller's uploads, newest first, older than `after` (create_time, upload_id)."""
        mine = scope(principal, Permission.UPLOADS_READ, "u")
        async with self._database.connection() as db:
            uploads = await queries.page(db, mine, state, after, limit)
            return [await self._result(db, upload) for upload in uploads]

    def watch(self, principal: Principal, upload_id: str) -> AsyncGenerator[UploadResult, None]:
        """The upload now, after every change, and every 15 seconds; ends with a final state."""
        read = partial(self.get, principal, upload_id)
        return watch(self._database, UploadChanged, upload_id, read, lambda r: r.upload.state.final)

    async def complete(
        self,
        principal: Principal,
        upload_id: str,
        checksums: Checksums,
        listed: Sequence[ListedPart] = (),
    ) -> UploadResult:
        """Finishes an upload whose bytes are all here; idempotent. `listed`: the parts as the
        caller has them, if the caller says."""
        async with self._database.connection() as db:
            upload = await load(db, principal, Permission.UPLOADS_WRITE, upload_id)
        if upload.state not in {UploadState.FINISHED, UploadState.VERIFYING}:
            await self._collector.collect(upload)
            await self._finisher.finish_session(upload_id, checksums, listed=listed)
        return await self.get(principal, upload_id)

    async def abort(self, principal: Principal, upload_id: str) -> UploadResult:
        """Gives an upload up; idempotent. Its bytes are removed by a job."""
        async with self._database.transaction() as tx:
            upload = await load(tx, principal, Permission.UPLOADS_WRITE, upload_id)
            ended = await queries.end(tx, upload_id, UploadState.ACTIVE, UploadState.ABORTED)
            if ended:
                await tx.enqueue(NewJob(JobKind.DISCARD, upload_id))
                tx.emit(UploadChanged(upload_id, UploadState.ABORTED, upload.epoch))
            result = await self._result(
                tx, await load(tx, principal, Permission.UPLOADS_WRITE, upload_id)
            )
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
        """Writes a stream into a session, from `committed_size` on. `declared`: checksums of the
        whole. With `atomic` the bytes are kept only if the stream ends well."""
        with self._running.place() as place:
            taken = await self._take_over(principal, upload_id)
            spec = replace(taken.spec, checksums=merge(taken.spec.checksums, declared))
            ledger = self._ledger(
                spec, taken.owner, taken.blob_id, taken.store_session, taken.epoch
            )
            ledger.exists = True
            writer = self._writer(ledger, taken.next_part, taken.committed_size)
            await self._take_in(place, ledger, writer, chunks, atomic=atomic)
        return await self.get(principal, upload_id)

    async def write_new(
        self,
        principal: Principal,
        spec: UploadSpec,
        chunks: AsyncGenerator[Chunk, None],
        *,
        on_created: Created | None = None,
        resumable: bool = True,
    ) -> UploadResult:
        """Creates a session in place and writes a stream into it. A stream that finishes soon is
        stored in one step; otherwise `on_created` is told when the session exists. Unless
        `resumable`, a stream that breaks leaves nothing."""
        owner = creator(principal, Permission.UPLOADS_WRITE)
        self._acceptance.check_declared(spec)
        ledger = self._ledger(spec, owner, new_id(), "", 1, on_created)
        writer = self._writer(ledger, 1, 0)
        with self._running.place() as place:
            result = await self._take_in(place, ledger, writer, chunks, resumable=resumable)
        return result or await self.get(principal, spec.upload_id)

    async def write_at_once(
        self, principal: Principal, spec: UploadSpec, chunk: Chunk
    ) -> UploadResult:
        """Stores an upload that came whole, in one chunk: no stream, no session."""
        owner = creator(principal, Permission.UPLOADS_WRITE)
        self._acceptance.check_declared(spec)
        check_chunk(chunk, 0, 0, spec, self._acceptance)
        declared = merge(spec.checksums, chunk.checksums)
        with self._running.place() as place:
            return await self._running.finish(
                place,
                self._finisher.finish_in_one_step(spec, owner, new_id(), chunk.data, declared),
            )

    async def _take_over(self, principal: Principal, upload_id: str) -> Upload:
        """The upload, for a stream to go on with. Raises FailedPrecondition: UPLOAD_NOT_ACTIVE, or
        PARTS_OUTSTANDING; InvalidArgument: PART_TOO_SMALL."""
        async with self._database.connection() as db:
            upload = await load(db, principal, Permission.UPLOADS_WRITE, upload_id)
        await self._collector.collect(upload)
        async with self._database.transaction() as tx:
            held = await queries.lock(tx, upload_id)
            if held is None or held.state is not UploadState.ACTIVE:
                raise not_active(held or upload)
            least = self._blobs.driver.limits.min_part_size
            last = await queries.highest_part(tx, upload_id) if least else None
            taken = await queries.take_over(tx, upload_id)
            if taken is None:
                raise outstanding(held, await queries.parts(tx, upload_id))
            if last and last[0] < held.next_part and last[1] < least:
                raise part_too_small(last[0], least)
            dropped = await queries.drop_claims(tx, upload_id)
            tx.emit(UploadChanged(upload_id, UploadState.ACTIVE, taken.epoch))
        failpoint("upload.take-over.after")
        if held.settled and not dropped:
            return taken
        return await self._running.to_its_end(succeed(self._database, self._blobs, taken))

    async def _take_in(
        self,
        place: Place,
        ledger: Ledger,
        writer: BlobWriter,
        chunks: AsyncGenerator[Chunk, None],
        *,
        atomic: bool = False,
        resumable: bool = True,
    ) -> UploadResult | None:
        """Runs a stream to its end. The result, if that is known without asking the database."""
        stream = UploadStream(writer, ledger, self._acceptance, self._timeout, atomic=atomic)
        storing = self._store(stream, ledger, writer, resumable=resumable)
        with self._fenced(stream, ledger):
            return await self._running.take_in(place, stream, storing, chunks)

    async def _store(
        self, stream: UploadStream, ledger: Ledger, writer: BlobWriter, *, resumable: bool
    ) -> UploadResult | None:
        """The part of a stream that outlives its caller."""
        try:
            await self._store_stream(stream, ledger)
            declared = merge(ledger.spec.checksums, stream.checksums)
        except Exception:
            if not ledger.exists:
                await self._blobs.driver.abort(
                    self._blobs.key(ledger.blob_id), ledger.store_session
                )
            elif not resumable:
                await self._drop(ledger)
            raise
        if not stream.finish:
            return None
        if ledger.exists:
            await self._finisher.finish_session(
                ledger.spec.upload_id, declared, epoch=ledger.epoch, sha256=writer.sha256()
            )
            return None
        return await self._finisher.finish_in_one_step(
            ledger.spec,
            ledger.owner,
            ledger.blob_id,
            b"".join(chunk.data for chunk in stream.held),
            declared,
        )

    async def _store_stream(self, stream: UploadStream, ledger: Ledger) -> None:
        try:
            await stream.store()
        except DataLoss as error:
            if not ledger.exists:
                raise
            # A session of the store that ended meanwhile.
            upload_id = ledger.spec.upload_id
            raise await lost(self._database, upload_id, ledger.store_session) from error

    @contextmanager
    def _fenced(self, stream: UploadStream, ledger: Ledger) -> Iterator[None]:
        """Ends the stream as soon as another writer takes over, or the session ends."""

        def changed(event: UploadChanged) -> None:
            if event.epoch > ledger.epoch:
                stream.interrupt(superseded(ledger.spec.upload_id))
            elif event.state in {UploadState.ABORTED, UploadState.EXPIRED}:
                stream.interrupt(
                    FailedPrecondition(
                        Reason.UPLOAD_NOT_ACTIVE,
                        f"The upload takes no more bytes, it is {event.state}.",
                        state=event.state,
                        cause="",
                    )
                )

        with self._database.listen(UploadChanged, ledger.spec.upload_id, changed):
            yield

    # Parts of the above

    async def _begin(self, blob_id: str) -> str:
        return await self._blobs.driver.begin(self._blobs.key(blob_id))

    def _ledger(
        self,
        spec: UploadSpec,
        owner: Owner,
        blob_id: str,
        session: str,
        epoch: int,
        on_created: Created | None = None,
    ) -> Ledger:
        return Ledger(
            self._database,
            spec,
            owner,
            blob_id=blob_id,
            store_session=session,
            epoch=epoch,
            expiry=self._expiry,
            on_created=on_created,
        )

    def _writer(self, ledger: Ledger, number: int, offset: int) -> BlobWriter:
        key = self._blobs.key(ledger.blob_id)
        driver = self._blobs.driver
        return BlobWriter(
            driver,
            key,
            ledger.store_session,
            ledger.epoch,
            number,
            offset,
            hashing=ledger.spec.checksums.sha256 is not None,
        )

    async def _drop(self, ledger: Ledger) -> None:
        """Ends a session that cannot be resumed; a job removes its bytes."""
        upload_id = ledger.spec.upload_id
        async with self._database.transaction() as tx:
            if await queries.end(tx, upload_id, UploadState.ACTIVE, UploadState.ABORTED):
                await tx.enqueue(NewJob(JobKind.DISCARD, upload_id))
                tx.emit(UploadChanged(upload_id, UploadState.ABORTED, ledger.epoch))

    async def _result(self, db: Connection, upload: Upload) -> UploadResult:
        media = None
        if upload.state is UploadState.FINISHED:
            media = await catalogue.get(db, upload.upload_id)
        limits = self._blobs.driver.limits
        return UploadResult(
            upload,
            media,
            min_append_size=limits.min_part_size,
            max_part_size=limits.max_part_size or self._acceptance.max_size,
        )
