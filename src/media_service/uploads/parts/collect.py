"""Claims part numbers, and counts stored parts, whether this service or the store received them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta

from media_service.db.database import Database
from media_service.db.notifications import UploadChanged
from media_service.db.transaction import Connection
from media_service.errors import Aborted, FailedPrecondition
from media_service.failpoints import failpoint
from media_service.storage.blob_store import BlobStore
from media_service.storage.driver import part_too_small
from media_service.uploads import queries
from media_service.uploads.acceptance import Acceptance
from media_service.uploads.errors import not_active, superseded
from media_service.uploads.model import Part, Upload, UploadState
from media_service.uploads.parts import queries as part_queries
from media_service.uploads.parts.check import check_claims
from media_service.uploads.parts.queries import Held
from media_service.uploads.stream_runner import Incoming


def parts_changed(upload: Upload) -> UploadChanged:
    """The notification that callers put parts in this epoch. It stops a stream that writes to the
    upload."""
    return UploadChanged(upload.upload_id, UploadState.ACTIVE, upload.epoch, by_parts=True)


class Collector:
    def __init__(
        self,
        database: Database,
        store: BlobStore,
        acceptance: Acceptance,
        expiry: timedelta,
    ) -> None:
        self._database = database
        self._store = store
        self._acceptance = acceptance
        self._expiry = expiry

    async def claim(
        self, upload: Upload, parts: Sequence[Part], lifetime: timedelta = timedelta()
    ) -> dict[int, Part]:
        """Fixes the size and CRC32C of these part numbers. Neither can change afterwards.

        Returns, by number, the parts that were known before and keep their name. `upload` is the
        state at the start of the caller's epoch. `lifetime` is the lifetime of signed URLs.
        Raises AlreadyExists (PART_CONFLICT), InvalidArgument (PART_TOO_SMALL, SIZE_EXCEEDED,
        FILE_TOO_LARGE), Aborted (SUPERSEDED) and FailedPrecondition (UPLOAD_NOT_ACTIVE).
        """
        upload_id = upload.upload_id
        async with self._database.pipeline() as tx:
            held = await self._held(tx, upload, parts)
            known = held.known
            if new := held.new(parts):
                await part_queries.claim(tx, upload_id, new)
            ours = [
                part
                for part in parts
                if part.signed
                and (found := known.get(part.number))
                and not (found.stored or found.signed)
            ]
            if ours:
                await part_queries.claim_signed(tx, upload_id, ours)
            if lifetime:
                await part_queries.prolong(tx, upload_id, lifetime)
        renamed = {part.number for part in ours}
        return {number: part for number, part in known.items() if number not in renamed}

    async def claim_replacement(self, upload: Upload, part: Part) -> bool:
        """Fixes the bytes of a number before they are stored. Used with stores where storing a part
        overwrites the previous part of the same number.

        Returns False if another caller may be storing the same bytes now. Raises the same errors
        as `claim`.
        """
        async with self._database.pipeline() as tx:
            held = await self._held(tx, upload, [part], replacing=True)
            found = held.known.get(part.number)
            await part_queries.claim_replacement(tx, upload.upload_id, part)
        return found is None or found.replaceable

    async def replace(self, upload: Upload, part: Part, *, alone: bool) -> tuple[Part, Part | None]:
        """Records a stored part, which may replace an earlier one. `alone` means that no write
        still in progress can overwrite it. Otherwise, the part becomes final.

        Returns the recorded part, and the part that it replaced. The recorded part may be another
        caller's, with the same bytes. Raises the same errors as `claim`. After an error other than
        Unavailable, nothing is recorded.
        """
        async with self._database.pipeline() as tx:
            held = await self._held(tx, upload, [part], replacing=True)
            found = held.known.get(part.number)
            if found is not None and found.stored and not found.replaceable:
                return found, None
            alone &= found is None or found.replaceable or found.epoch == part.epoch
            if alone:
                await part_queries.put_replaceable(tx, upload.upload_id, part, self._expiry)
            else:
                await part_queries.confirm(tx, held.upload, [part], self._expiry)
            tx.notify(parts_changed(held.upload))
        recorded = replace(part, stored=True, replaceable=alone)
        return recorded, found if found is not None and found.replaceable else None

    async def _check_sizes(self, db: Connection, held: Held, new: Sequence[Part]) -> None:
        upload = held.upload
        freed = sum(held.known[part.number].size for part in new if part.number in held.known)
        total = held.claimed_size - freed + sum(part.size for part in new)
        self._acceptance.of(upload).check_end(upload.spec, total)
        least = self._store.driver.limits.min_part_size
        if not least:
            return
        # Earlier calls checked all earlier parts except the highest.
        highest = await queries.highest_part(db, upload.upload_id)
        sizes = {part.number: part.size for part in new}
        ordered = sorted(({highest[0]: highest[1]} | sizes if highest else sizes).items())
        for number, size in ordered[:-1]:
            if size < least:
                raise part_too_small(number, least)

    async def confirm(self, upload: Upload, parts: Sequence[Part]) -> dict[int, Part]:
        """Counts parts whose bytes are durable. Claims those that are not claimed yet.

        Returns, by number, the parts that were already stored. Raises the same errors as `claim`.
        After an error other than Unavailable, nothing is counted.
        """
        failpoint("part.confirm.before")
        async with self._database.pipeline() as tx:
            held = await self._held(tx, upload, parts)
            await part_queries.confirm(tx, held.upload, parts, self._expiry)
            tx.notify(parts_changed(held.upload))
            failpoint("part.confirm.inside")
        failpoint("part.confirm.after")
        return {number: part for number, part in held.known.items() if part.stored}

    async def collect(self, upload: Upload) -> None:
        """Looks in the store for claimed parts that clients sent directly to it, and counts
        them."""
        if upload.parts_since is None or upload.state is not UploadState.ACTIVE:
            return
        async with self._database.connection() as db:
            claimed = await part_queries.to_collect(db, upload.upload_id)
            # Read after the claims; otherwise, the store's session might be older than they are.
            held = await queries.get(db, upload.upload_id) if claimed else None
        if held is None:
            return
        found = await self._store.driver.stored_parts(
            self._store.key(upload.blob_id),
            held.store_session,
            [part.name for part in claimed],
        )
        came = [part for part in claimed if found.get(part.name) == (part.size, part.crc32c)]
        if came:
            # Another call already counted these parts, or the upload no longer takes parts.
            with suppress(Aborted, FailedPrecondition):
                await self.confirm(upload, came)

    @contextmanager
    def fenced(self, stream: Incoming, upload: Upload) -> Iterator[None]:
        """Interrupts `stream` as soon as an append takes over the upload, or the upload ends."""

        def changed(notification: UploadChanged) -> None:
            if notification.by_parts:
                return
            if notification.state != UploadState.ACTIVE:
                stream.interrupt(not_active(replace(upload, state=UploadState(notification.state))))
            elif notification.epoch > upload.epoch:
                stream.interrupt(superseded(upload.upload_id))

        with self._database.listen(UploadChanged, upload.upload_id, changed):
            yield

    async def _held(
        self, db: Connection, upload: Upload, parts: Sequence[Part], *, replacing: bool = False
    ) -> Held:
        """Locks the upload's row until the transaction ends, and checks that these parts may be
        put.

        With `replacing`, the parts may replace replaceable ones. Raises the errors of `claim`.
        """
        held = await part_queries.hold(db, upload.upload_id, [part.number for part in parts])
        if held is None or held.upload.state is not UploadState.ACTIVE:
            raise not_active(held.upload if held else upload)
        if held.upload.parts_since != upload.parts_since:
            raise superseded(upload.upload_id)
        check_claims(held.upload, held.known, parts, replacing=replacing)
        new = held.new(parts)
        if replacing:
            new += [p for p in parts if (found := held.known.get(p.number)) and found.replaceable]
        if new:
            await self._check_sizes(db, held, new)
        return held
