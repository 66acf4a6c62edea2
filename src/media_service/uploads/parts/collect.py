"""Claims numbers for parts, and counts the parts that are stored, whichever way they came."""

from collections.abc import Sequence
from datetime import timedelta

from media_service.db.database import Connection, Database
from media_service.db.notify import Notifier
from media_service.failpoints import failpoint
from media_service.storage.blobs import BlobStore
from media_service.uploads import queries
from media_service.uploads.acceptance import Acceptance
from media_service.uploads.ledger import not_active, superseded
from media_service.uploads.model import Part, Upload, UploadState
from media_service.uploads.parts import queries as part_queries
from media_service.uploads.parts.check import conflict, other_bytes, part_too_small
from media_service.uploads.stream import size_exceeded


class Collector:
    def __init__(
        self,
        database: Database,
        notifier: Notifier,
        store: BlobStore,
        acceptance: Acceptance,
        expiry: timedelta,
    ) -> None:
        self._database = database
        self._notifier = notifier
        self._store = store
        self._acceptance = acceptance
        self._expiry = expiry

    async def claim(self, upload: Upload, parts: Sequence[Part]) -> dict[int, Part]:
        """Decides for good which bytes these numbers have; returns those that were claimed or
        stored before, with the same bytes. `upload` is as its caller's epoch began.

        Raises AlreadyExists (PART_CONFLICT), InvalidArgument (PART_TOO_SMALL), TooLarge, Conflict
        (SUPERSEDED) and FailedPrecondition (UPLOAD_NOT_ACTIVE).
        """
        async with self._database.transaction() as db:
            held = await self._held(db, upload)
            known = await part_queries.some(db, upload.upload_id, [part.number for part in parts])
            new: list[Part] = []
            for part in parts:
                if found := known.get(part.number):
                    if (found.size, found.crc32c) != (part.size, part.crc32c):
                        raise other_bytes(part.number, held.next_part_number)
                elif part.number < held.next_part:
                    raise conflict(
                        part.number,
                        f"is a stream's; parts go on at {held.next_part_number}.",
                        held.next_part_number,
                    )
                else:
                    new.append(part)
            if new:
                self._check_sizes(held, await part_queries.extent(db, held), new)
                await part_queries.claim(db, upload.upload_id, new)
        failpoint("part.claim.after")
        return known

    def _check_sizes(
        self, upload: Upload, extent: part_queries.Extent, new: Sequence[Part]
    ) -> None:
        total = extent.size + sum(part.size for part in new)
        if upload.spec.size_bytes is not None and total > upload.spec.size_bytes:
            raise size_exceeded(upload.spec.size_bytes)
        self._acceptance.check_size(total)
        # Of those before, all but the highest were large enough for others to follow.
        sizes = [(part.number, part.size) for part in new]
        ordered = sorted([extent.highest, *sizes] if extent.highest else sizes)
        least = self._store.driver.limits.min_part_size
        for number, size in ordered[:-1]:
            if size < least:
                raise part_too_small(number, least)

    async def confirm(self, upload: Upload, parts: Sequence[Part]) -> list[int]:
        """Counts claimed parts whose bytes are durable; returns the numbers of those that were not
        counted before. Raises Conflict (SUPERSEDED), FailedPrecondition (UPLOAD_NOT_ACTIVE)."""
        failpoint("part.confirm.before")
        async with self._database.transaction() as db:
            held = await self._held(db, upload)
            confirmed = await part_queries.confirm(db, held, parts, self._expiry)
        failpoint("part.confirm.after")
        self._notifier.publish("uploads", upload.upload_id, f"{held.epoch}:ACTIVE")
        return confirmed

    async def collect(self, upload: Upload) -> None:
        """Looks in the store for claimed parts that came past this service, and counts them."""
        if upload.parts_since is None or upload.state is not UploadState.ACTIVE:
            return
        async with self._database.connection() as db:
            claimed = await part_queries.claimed(db, upload.upload_id)
        if not claimed:
            return
        found = await self._store.driver.stored_parts(
            self._store.key(upload.blob_id),
            upload.store_session,
            [part.name for part in claimed],
        )
        came = [part for part in claimed if found.get(part.name) == (part.size, part.crc32c)]
        if came:
            await self.confirm(upload, came)

    def superseded(self, upload: Upload) -> None:
        """Tells a stream that writes to the upload that it does no more."""
        self._notifier.publish("uploads", upload.upload_id, f"{upload.epoch}:ACTIVE")

    async def _held(self, db: Connection, upload: Upload) -> Upload:
        """The upload's row, until the transaction ends, if its callers still put parts."""
        held = await queries.lock(db, upload.upload_id)
        if held is None or held.state is not UploadState.ACTIVE:
            raise not_active(held or upload)
        if held.parts_since != upload.parts_since:
            raise superseded(upload.upload_id)
        return held
